"""Packed rows train what rows of their own train; new rows and whole models are learned; a mesh changes nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.checkpoint import read_checkpoint
from jaxrec.llm.checkpoint_files import write_weights
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import forward, init_params
from jaxrec.llm.lora import LoRAConfig, init_adapters
from jaxrec.llm.lora_training import Example, answer_batch, answer_loss
from jaxrec.llm.new_tokens import extend, init_rows, read_rows, with_rows, write_rows
from jaxrec.llm.packed_examples import PackShape, pack, pack_shape, packed_batch, packed_loss
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.tuning import Recipe, assembled, init_state, loss_sum, tuning_step
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, write_folder
from tests.models.world import mesh_of

LORA = LoRAConfig(rank=4, alpha=8.0)
RNG = np.random.default_rng(8)
LENGTHS = ((5, 3), (9, 1), (2, 7), (12, 2), (4, 4), (3, 1))
EXAMPLES = [Example(*(RNG.integers(0, CONFIG["vocab_size"], n).tolist() for n in lengths)) for lengths in LENGTHS]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return config, jax.tree.map(jnp.asarray, read_params(folder, config))


def adapters_of(config):
    """Adapters that change something: B is zero at first, and so would be the gradient of A."""
    adapters = init_adapters(LORA, config, jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf + 0.05, adapters)


def test_rows_hold_what_fits_and_everything_once():
    lengths = RNG.integers(1, 20, 200).tolist()
    rows = pack(lengths, 32)
    assert sorted(place for row in rows for place in row) == list(range(200))
    assert all(sum(lengths[place] for place in row) <= 32 for row in rows)
    # First fit by falling length needs at most 11/9 of the best, and the best at least the sum's share.
    assert len(rows) <= 11 / 9 * (sum(lengths) / 32) + 2
    with pytest.raises(UserError, match="example 1: found 40 tokens, allowed: up to 32"):
        pack([3, 40], 32)


def test_a_packed_batch_by_hand(model):
    examples = [Example([1, 2], [3]), Example([4, 5, 6], [7, 8]), Example([9], [10])]
    batch = packed_batch(examples, model[0], PackShape(1, 2, 8, 4))
    assert batch.tokens[0].tolist() == [[4, 5, 6, 7, 8, 1, 2, 3], [9, 10, 0, 0, 0, 0, 0, 0]]
    assert batch.positions[0].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2], [0, 1] + [0] * 6]
    assert batch.segments[0].tolist() == [[1, 1, 1, 1, 1, 2, 2, 2], [1, 1] + [0] * 6]
    assert batch.places[0].tolist() == [[3, 4, 7, 1], [1, 1, 1, 1]]
    assert batch.real[0].tolist() == [[True, True, True, False], [True, False, False, False]]


def test_packed_and_unpacked_examples_have_one_loss_and_one_gradient(model):
    config, params = model
    adapters = adapters_of(config)
    apart = jax.tree.map(lambda array: jnp.asarray(array[0]), answer_batch(EXAMPLES, config))
    shape = pack_shape([EXAMPLES], 24)
    assert shape.rows < len(EXAMPLES) - 1
    together = jax.tree.map(lambda array: jnp.asarray(array[0]), packed_batch(EXAMPLES, config, shape))
    trained = {"adapters": adapters, "embed": params["embed"]}

    def of(loss):
        both = jax.value_and_grad(lambda tree: loss(params | {"embed": tree["embed"]}, tree["adapters"]))
        return jax.jit(both)(trained)

    expected, expected_gradient = of(lambda params, adapters: answer_loss(params, config, adapters, *apart))
    found, gradient = of(lambda params, adapters: packed_loss(params, config, adapters, together))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert optax.tree.norm(expected_gradient) > 0.1
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=2e-4), gradient, expected_gradient)


def test_a_shape_holds_all_its_batches(model):
    batches = [EXAMPLES[:2], EXAMPLES[2:], EXAMPLES[:1]]
    shape = pack_shape(batches, 24, micro_batches=2, row_multiple=2)
    assert shape.rows % 2 == 0
    for examples in batches:
        batch = packed_batch(examples, model[0], shape)
        assert batch.tokens.shape == (2, shape.rows, 24)
        assert batch.real.sum() == sum(len(answer) for _, answer in examples)


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


def test_a_mesh_trains_what_one_device_trains(model):
    config, params = model
    # A vocabulary that the devices can share.
    grown, config = extend(jax.tree.map(np.asarray, params), config, 40, 8)
    trained = {"adapters": adapters_of(config), "rows": init_rows(grown, config, 40, 8, jax.random.key(0))}
    lora = dataclasses.replace(LORA, dropout=0.1)
    examples = [Example([*prompt, 41], [*answer, 43]) for prompt, answer in EXAMPLES] * 2

    def after(mesh):
        recipe = Recipe(config, optax.sgd(0.1, momentum=0.9), lora, 40, True, mesh)
        batch = packed_batch(examples, config, pack_shape([examples], 24, 2, 4))
        state, held = init_state(trained, recipe), place(grown, config, mesh)
        losses, placed = [], place_rows(batch, mesh, axis=1)
        for _ in range(3):
            state, found = tuning_step(held, state, placed, recipe=recipe, seed=3)
            losses.append(float(found["loss"]))
        return state, losses

    expected, expected_losses = after(None)
    state, losses = after(mesh_of(4, 2))
    np.testing.assert_allclose(losses, expected_losses, atol=1e-4)
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-3), state, expected)
    assert losses[-1] < losses[0]


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
