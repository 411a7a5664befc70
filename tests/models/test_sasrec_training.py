"""SASRec in training: what its losses learn, on one device and on eight, however steps are called."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.models.base import Context
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.train.mesh import replicate, shardings
from jaxrec.train.sequence_input import SequenceInput
from jaxrec.train.sequence_source import Positives, SequenceShape, StreamSource
from jaxrec.train.state import first_state
from tests.models.small_sasrec import CONFIG, LENGTH, NUM_ITEMS, NUM_USERS, flat, model_of
from tests.models.world import mesh_of

ADAM = optax.adam(0.01)
COUNTS = np.arange(1, NUM_ITEMS + 1, dtype=np.int32)


@dataclasses.dataclass
class Started:
    """An input and the state before the first step."""

    input: SequenceInput
    first: object


def compiled_steps(config, mesh, optimizer=ADAM, seed=4):
    """Two steps an epoch of eight rows, over six users; the compiled call."""
    rng = np.random.default_rng(0)
    sequences = flat([rng.integers(0, 8, LENGTH + 1).tolist() for _ in range(NUM_USERS)])
    every = np.tile(np.arange(8), NUM_USERS).astype(np.int32)
    positives = Positives(np.arange(0, 8 * NUM_USERS + 1, 8).astype(np.int32), every)
    shape = SequenceShape(16, LENGTH, config.num_negatives)
    data = SequenceInput(StreamSource(sequences, positives if config.num_negatives else None), shape)
    model = model_of(config)
    ctx = replicate(Context(item_counts=jnp.asarray(COUNTS), mesh=mesh), mesh)
    state = first_state(model, optimizer, ctx, seed)
    placed = shardings(state, config.partition_rules, mesh)
    call = data.compile(
        model, optimizer, seed, jax.device_put(state, placed), ctx, placed, lambda tree: replicate(tree, mesh)
    )
    return Started(data, jax.device_put(state, placed)), call


@pytest.mark.parametrize("loss", ["sampled_softmax", "bce"])
def test_every_loss_by_its_name_learns_a_tiny_epoch(loss):
    config = dataclasses.replace(CONFIG, loss=ItemLossConfig(name=loss, num_negatives=3))
    assert config.num_negatives == (0 if loss == "sampled_softmax" else 3)
    data, step = compiled_steps(config, None)
    state = data.first
    state, progress = step(state, 2)
    first = float(progress.sums[loss]) / 2
    for _ in range(20):
        state, progress = step(state, 2)
    assert float(progress.sums[loss]) / 2 < 0.7 * first


def test_a_table_shared_out_by_items_trains_as_on_one_device():
    config = dataclasses.replace(CONFIG, dropout=0.2)
    # Plain gradient steps: Adam makes whole steps of gradients that are 0 but for rounding, as those of key biases are.
    one, step = compiled_steps(config, None, optax.sgd(0.3))
    expected, expected_progress = step(one.first, 2)
    many, step = compiled_steps(config, mesh_of(8, 1), optax.sgd(0.3))
    actual, progress = step(many.first, 2)
    np.testing.assert_allclose(progress.sums["loss"], expected_progress.sums["loss"], rtol=1e-5)
    table = actual.params["items"]["embedding"]
    assert table.sharding.shard_shape(table.shape) == (NUM_ITEMS // 8, config.dim)
    for a, e in zip(jax.tree.leaves(actual.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)


def test_steps_are_the_same_however_they_are_called_and_a_call_ends_with_its_epoch():
    config = dataclasses.replace(CONFIG, dropout=0.2)
    started, step = compiled_steps(config, None)
    assert started.input.steps_per_epoch == 2
    once, progress = step(started.first, 5)
    assert int(progress.steps) == 2
    again = first_state(model_of(config), ADAM, Context(), 4)
    apart = step(step(again, 1)[0], 1)[0]
    jax.tree.map(np.testing.assert_array_equal, once.params, apart.params)
