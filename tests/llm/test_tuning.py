"""Adapters, new rows and whole models are learned; what is frozen stays; micro-batches and a mesh change nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.checkpoint import read_checkpoint
from jaxrec.llm.checkpoint_files import write_weights
from jaxrec.llm.decoder import forward, init_params
from jaxrec.llm.lora import TARGETS, LoRAConfig, init_adapters
from jaxrec.llm.new_tokens import extend, init_rows, read_rows, with_rows, write_rows
from jaxrec.llm.packed_examples import Example, pack_shape, packed_batch
from jaxrec.llm.quantized import quantize
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.tuning import Recipe, assembled, init_state, loss_sum, tuning_step
from tests.llm.tiny_examples import EXAMPLES
from tests.models.world import mesh_of

LORA = LoRAConfig(rank=4, alpha=8.0)


def adapters_of(config):
    """Adapters that change something: B is zero at first, and so would be the gradient of A."""
    adapters = init_adapters(LORA, config, jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf + 0.05, adapters)


def test_one_example_is_learned_and_the_weights_stay(model):
    config, params = model
    before = jax.tree.map(np.array, params)
    lora = dataclasses.replace(LORA, targets=TARGETS)
    recipe = Recipe(config, optax.adam(2e-2), lora)
    state = init_state({"adapters": init_adapters(lora, config, jax.random.key(0))}, recipe)
    batch = packed_batch(EXAMPLES[:1], config, pack_shape([EXAMPLES[:1]], 8))
    losses = []
    for _ in range(40):
        state, found = tuning_step(params, state, batch, recipe=recipe)
        losses.append(float(found["loss"]))
    assert losses[0] > 1.0
    assert losses[-1] < 0.02
    assert int(state.step) == 40
    jax.tree.map(np.testing.assert_array_equal, params, before)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(state.trained))


def test_draws_follow_seed_and_step(model):
    config, params = model
    # Nothing is learned, so that losses differ by what is dropped alone.
    recipe = Recipe(config, optax.sgd(0.0), dataclasses.replace(LORA, dropout=0.3))
    batch = packed_batch(EXAMPLES, config, pack_shape([EXAMPLES], 24))

    def losses(seed):
        state, found = init_state({"adapters": adapters_of(config)}, recipe), []
        for _ in range(2):
            state, of_step = tuning_step(params, state, batch, recipe=recipe, seed=seed)
            found.append(float(of_step["loss"]))
        return found

    first = losses(0)
    assert losses(0) == first
    assert len({*first, *losses(1)}) == 4


@pytest.mark.parametrize("kinds", [("adapters", "rows"), ("weights",)])
def test_what_is_trained_is_learned_and_micro_batches_change_nothing(model, kinds):
    config, params = model
    first = 30
    trained = {
        "adapters": adapters_of(config),
        "rows": init_rows(params, config, first, 10, jax.random.key(1)),
        "weights": params,
    }
    trained = {kind: trained[kind] for kind in kinds}
    frozen = {} if "weights" in kinds else params
    examples = [Example([31, 2, 33], [35, 36]), Example([4, 39], [37])]

    def after(micro_batches, remat, steps):
        recipe = Recipe(config, optax.sgd(0.02), LORA, first, remat)
        state = init_state(trained, recipe)
        batch = packed_batch(examples, config, pack_shape([examples], 5, micro_batches))
        losses = []
        for _ in range(steps):
            state, found = tuning_step(frozen, state, batch, recipe=recipe)
            losses.append(float(found["loss"]))
        return state, losses, (recipe, batch)

    state, losses, _ = after(1, False, 2)
    other, other_losses, (recipe, batch) = after(2, True, 2)
    total, count = loss_sum(frozen, other.trained, batch, recipe=recipe)
    np.testing.assert_allclose(losses, other_losses, rtol=1e-4)
    assert losses[1] < losses[0] - 1e-3
    assert int(count) == 3
    assert float(total) / 3 < losses[1]
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-4), state.trained, other.trained)


def test_new_tokens_have_rows_of_their_own(model, tmp_path):
    config, params = model
    host = jax.tree.map(np.asarray, params)
    grown, wider = extend(host, config, 40, 7)
    assert wider.vocab_size == 64
    rows = init_rows(host, config, 40, 7, jax.random.key(0))
    write_rows(tmp_path, rows)
    read = read_rows(tmp_path, wider, 7)
    placed = with_rows(jax.tree.map(jnp.asarray, grown), read, 40)
    np.testing.assert_array_equal(placed["embed"]["embedding"][40:47], rows["embedding"])
    np.testing.assert_array_equal(placed["embed"]["embedding"][:40], host["embed"]["embedding"])
    # Tokens that were there are read as before, and their logits are what they were.
    tokens, positions = jnp.asarray([[1, 2, 3]]), jnp.arange(3)[None]
    before, _ = forward(params, config, tokens, positions)
    logits, _ = forward(placed, wider, tokens, positions)
    np.testing.assert_allclose(logits[..., :40], before, atol=1e-5)
    assert np.abs(logits[..., 40:47]).min() > 0
    assert extend(host, config, 30, 10)[1] == config
    with pytest.raises(UserError, match=r"found embedding \[7, 16\], output \[7, 16\], allowed: embedding \[8, 16\]"):
        read_rows(tmp_path, wider, 8)


@pytest.mark.parametrize("weights", ["plain", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_mesh_trains_what_one_device_trains(model, weights):
    config, params = model
    lora = dataclasses.replace(LORA, dropout=0.1, targets=TARGETS)
    examples = [Example([*prompt, 39], [*answer, 38]) for prompt, answer in EXAMPLES] * 2
    rows = {}
    if weights == "plain":  # with new rows, in a vocabulary that the devices can share
        params, config = extend(jax.tree.map(np.asarray, params), config, 40, 8)
        rows = {"rows": init_rows(params, config, 40, 8, jax.random.key(0))}
        examples = [Example([*prompt, 41], [*answer, 43]) for prompt, answer in EXAMPLES] * 2
    else:
        params = quantize(params)
    trained = {"adapters": init_adapters(lora, config, jax.random.key(0)), **rows}

    def after(mesh):
        recipe = Recipe(config, optax.sgd(0.1, momentum=0.9), lora, 40, True, mesh)
        batch = packed_batch(examples, config, pack_shape([examples], 24, 2, 4))
        state, held = init_state(trained, recipe), place(params, config, mesh)
        losses, placed, compiled = [], place_rows(batch, mesh, axis=1), tuning_step._cache_size()
        for _ in range(3):
            state, found = tuning_step(held, state, placed, recipe=recipe, seed=3)
            losses.append(float(found["loss"]))
        # What a step gives lies where it came from, so that one program serves all of them.
        assert tuning_step._cache_size() == compiled + 1
        return state, losses

    expected, expected_losses = after(None)
    state, losses = after(mesh_of(4, 2))
    np.testing.assert_allclose(losses, expected_losses, atol=1e-4)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-3), state, expected)
    assert losses[-1] < losses[0]
    b = state.trained["adapters"]["layers"]["attention"]["query"]["b"]
    assert b.sharding.shard_shape(b.shape) == (3, 4, 8)
    trace = state.optimizer[0].trace["adapters"]["layers"]["attention"]["query"]["b"]
    assert trace.sharding == b.sharding


def test_a_checkpoint_is_read_as_it_was_written(model, tmp_path):
    from tokenizers import Tokenizer, models

    config = dataclasses.replace(model[0], tied_output=True, rope_base=10000.0, num_kv_heads=4)
    params = init_params(config, jax.random.key(0))
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "<|end|>": 1}, unk_token="a"))
    write_weights(tmp_path, config, params, 1)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    read = read_checkpoint(tmp_path)
    assert read.config == config
    assert read.tokenizer.stop_tokens == (1,)
    jax.tree.map(np.testing.assert_array_equal, read.params, params)
    assembled_params, adapters = assembled({}, {"weights": params}, Recipe(config, optax.sgd(0.1)))
    assert adapters is None
    jax.tree.map(np.testing.assert_array_equal, assembled_params, params)
