"""Training of adapters: what is learned, what stays, what is dropped; accumulation and a mesh change nothing."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.config import read_config
from jaxrec.llm.layers import Projection
from jaxrec.llm.lora import TARGETS, LoRAConfig, init_adapters, scaled
from jaxrec.llm.lora_training import Example, answer_batch, answer_loss, init_state, train_step
from jaxrec.llm.quantized import quantize
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder
from tests.models.world import mesh_of

LORA = LoRAConfig(rank=4, alpha=8.0, targets=TARGETS)
RNG = np.random.default_rng(6)
# Of other lengths each, so that a mean of the micro-batches' means would be another figure.
EXAMPLES = [
    Example(*(RNG.integers(0, CONFIG["vocab_size"], length).tolist() for length in lengths))
    for lengths in ((5, 3), (9, 1), (2, 7), (12, 2))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return config, jax.tree.map(jnp.asarray, read_params(folder, config))


def close(left, right, atol):
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol), left, right)


def test_the_loss_is_that_of_the_answers_by_hand(model):
    config, params = model
    batch = answer_batch(EXAMPLES, config)
    expected = 0.0
    for prompt, answer in EXAMPLES:
        logits = logits_by_hand([*prompt, *answer], tensors())[len(prompt) - 1 : -1]
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected -= log_probs[np.arange(len(answer)), answer].sum()
    found = answer_loss(params, config, None, *(jnp.asarray(array[0]) for array in batch))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_example_is_learned_and_the_weights_stay(model):
    config, params = model
    before = jax.tree.map(np.array, params)
    optimizer = optax.adam(2e-2)
    state = init_state(init_adapters(LORA, config, jax.random.key(0)), optimizer, config)
    batch = answer_batch(EXAMPLES[:1], config)
    losses = []
    for _ in range(40):
        state, found = train_step(params, state, batch, config=config, lora=LORA, optimizer=optimizer, remat=False)
        losses.append(float(found["loss"]))
    assert losses[0] > 1.0
    assert losses[-1] < 0.02
    assert int(state.step) == 40
    jax.tree.map(np.testing.assert_array_equal, params, before)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(state.adapters))


@pytest.mark.parametrize(("micro_batches", "remat"), [(4, False), (3, True)])
def test_accumulation_and_rematerialisation_change_nothing(model, micro_batches, remat):
    config, params = model
    # Plain descent: Adam would blow up differences of gradients near zero.
    optimizer = optax.sgd(0.1)

    def after(micro_batches, remat):
        state = init_state(init_adapters(LORA, config, jax.random.key(0)), optimizer, config)
        batch = answer_batch(EXAMPLES, config, micro_batches)
        for _ in range(2):
            state, found = train_step(params, state, batch, config=config, lora=LORA, optimizer=optimizer, remat=remat)
        return state, found

    state, found = after(micro_batches, remat)
    expected, expected_found = after(1, False)
    close(state.adapters, expected.adapters, 1e-5)
    close(found, expected_found, 1e-5)
    assert float(found["gradient_norm"]) > 0.1


def test_batches_by_hand(model):
    batch = answer_batch([Example([1, 2], [3]), Example([4], [5, 6]), Example([7], [8])], model[0], micro_batches=2)
    assert batch.tokens.shape == (2, 2, 32)
    assert batch.tokens[:, :, :3].tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 0], [0, 0, 0]]]
    assert batch.places[:, :, :2].tolist() == [[[2, 1], [1, 2]], [[1, 1], [1, 1]]]
    assert batch.real[:, :, :2].tolist() == [[[True, False], [True, True]], [[True, False], [False, False]]]


def test_rows_come_in_multiples(model):
    batch = answer_batch(EXAMPLES[:3], model[0], micro_batches=2, row_multiple=4)
    assert batch.tokens.shape[:2] == (2, 4)
    assert batch.real.any(axis=2).tolist() == [[True] * 3 + [False], [False] * 4]


# Dropout


def test_an_adapter_reads_what_is_left_and_the_weights_read_all():
    width, keep = 40, 0.75
    one = {"a": jnp.eye(width), "b": jnp.eye(width), "key": jax.random.key(3), "keep": jnp.float32(keep)}
    x = jnp.asarray(RNG.normal(size=(5, 50, width)), jnp.float32)
    params = {"params": {"kernel": 2 * jnp.eye(width)}}
    project: Any = Projection(width)
    # W is 2 I and A B is I.
    factors = np.asarray(project.apply(params, x, one) / x - 2)
    dropped = np.isclose(factors, 0, atol=1e-4)
    np.testing.assert_allclose(factors[~dropped], 1 / keep, atol=1e-3)
    # Of 10,000 draws the share has a deviation of 0.4 %.
    assert abs(dropped.mean() - 0.25) < 0.02


def test_each_projection_and_layer_has_draws_of_its_own_and_none_without_a_key(model):
    lora = dataclasses.replace(LORA, dropout=0.5)
    adapters = init_adapters(lora, model[0], jax.random.key(0))
    drawn = scaled(adapters, lora, jax.random.key(1))
    keys = [*drawn["layers"]["attention"]["query"]["key"], *drawn["layers"]["attention"]["value"]["key"]]
    keys += [*drawn["layers"]["mlp"]["down"]["key"], drawn["output"]["key"]]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 3 * 3 + 1
    assert set(scaled(adapters, lora)["output"]) == {"a", "b"}
    assert set(scaled(adapters, LORA, jax.random.key(1))["output"]) == {"a", "b"}


def test_draws_follow_seed_and_step(model):
    config, params = model
    # Nothing is learned, so that losses differ by what is dropped alone.
    optimizer = optax.sgd(0.0)
    adapters = jax.tree.map(lambda leaf: leaf + 0.2, init_adapters(LORA, config, jax.random.key(0)))

    lora, batch = dataclasses.replace(LORA, dropout=0.3), answer_batch(EXAMPLES, config)

    def losses(seed):
        state, found = init_state(adapters, optimizer, config), []
        for _ in range(2):
            state, of_step = train_step(
                params, state, batch, config=config, lora=lora, optimizer=optimizer, remat=False, seed=seed
            )
            found.append(float(of_step["loss"]))
        return found

    first = losses(0)
    assert losses(0) == first
    assert len({*first, *losses(1)}) == 4


# On a mesh


@pytest.mark.parametrize("weights", ["plain", "int8"])
def test_a_mesh_trains_what_one_device_trains(model, weights):
    config, params = model
    params = quantize(params) if weights == "int8" else params
    lora, optimizer = dataclasses.replace(LORA, dropout=0.1), optax.sgd(0.1, momentum=0.9)
    adapters = init_adapters(lora, config, jax.random.key(0))
    batch = answer_batch(EXAMPLES * 2, config, micro_batches=2, row_multiple=4)

    def after(mesh):
        state = init_state(adapters, optimizer, config, mesh)
        held, placed = place(params, config, mesh), place_rows(batch, mesh, axis=1)
        losses, compiled = [], train_step._cache_size()
        for _ in range(4):
            state, found = train_step(
                held, state, placed, config=config, lora=lora, optimizer=optimizer, seed=5, mesh=mesh
            )
            losses.append(found)
        # What a step gives lies where it came from, so that one program serves all of them.
        assert train_step._cache_size() == compiled + 1
        return state, losses

    expected, expected_losses = after(None)
    state, losses = after(mesh_of(4, 2))
    close(losses, expected_losses, 1e-4)
    close(state, expected, 1e-4)
    assert losses[-1]["loss"] < losses[0]["loss"] - 0.1
    b = state.adapters["layers"]["attention"]["query"]["b"]
    assert b.sharding.shard_shape(b.shape) == (3, 4, 8)
    assert state.optimizer[0].trace["layers"]["attention"]["query"]["b"].sharding == b.sharding


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (Example([], [1]), "prompt: found no tokens"),
        (Example([1], []), "answer: found no tokens"),
        (Example([1], [40]), "answer: found token 40, allowed: 0 to 39"),
        (Example([1] * 60, [1] * 5), "found 65 tokens, allowed: up to 64"),
    ],
)
def test_examples_that_cannot_be_learned(model, bad, named):
    with pytest.raises(UserError, match=r"^example 1: ") as caught:
        answer_batch([EXAMPLES[0], bad], model[0])
    assert named in str(caught.value)
