"""SASRec against a padded reference, user by user; what later items, padding and empty histories may not do."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrec.data.sequence_rows import Sequences, stream_rows
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.sasrec import SASRec, SASRecConfig
from jaxrec.nn.attention import stream_blocks
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.train.mesh import replicate, shardings
from jaxrec.train.sequence_input import SequenceInput
from jaxrec.train.sequence_source import Positives, SequenceShape, StreamSource
from jaxrec.train.state import first_state
from tests.models.world import mesh_of

NUM_USERS, NUM_ITEMS, LENGTH = 6, 16, 5
CONFIG = SASRecConfig(dim=8, num_heads=2, hidden_dim=12, dropout=0.0, max_length=LENGTH, init_std=0.3)
CONFIGS = {
    "pre": CONFIG,
    "post": dataclasses.replace(CONFIG, norm="post", embedding_norm=False, scale_embeddings=True),
}
ADAM = optax.adam(0.01)
COUNTS = np.arange(1, NUM_ITEMS + 1, dtype=np.int32)


def model_of(config):
    return SASRec(config, NUM_USERS, NUM_ITEMS)


@functools.cache
def params_of(config):
    """Parameters that have left their first values."""
    params, _ = model_of(config).init(jax.random.key(0), Context())
    noise = jax.random.normal(jax.random.key(3), (1000,))
    return jax.tree.map(lambda leaf: leaf + 0.3 * jnp.resize(noise, leaf.shape), params)


def flat(sequences):
    """Sequences in CSR form, their events padded to one size so that nothing compiles anew."""
    lengths = np.array([len(items) for items in sequences])
    events = np.concatenate([*sequences, np.zeros(NUM_USERS * (LENGTH + 1) - lengths.sum())]).astype(np.int32)
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    return Sequences(np.arange(len(sequences), dtype=np.int32), starts, (lengths - 1).astype(np.int32), events)


def stream_epoch(sequences, order, num_rows, width):
    """All batches of an epoch of the stream in the given order of users."""
    num_blocks, block = stream_blocks(width, LENGTH)
    ordered = flat(sequences).ordered(np.asarray(order), np)
    size = num_rows * width
    return [
        stream_rows(ordered, first, num_rows, width, num_blocks * block - width, LENGTH, np)
        for first in range(0, int(ordered.ends[-1]), size)
    ]


@functools.cache
def stream_gradient(config):
    model = model_of(config)

    def total(params, batch):
        return model.loss(params, {}, batch, Context(), jax.random.key(0)).total

    return jax.jit(jax.value_and_grad(total))


@functools.cache
def padded_gradient(config):
    """Loss and gradient over padded sequences [U, L + 1] of id + 1, one row a user."""
    model = model_of(config)

    def total(params, padded):
        inputs, targets = padded[:, :-1], padded[:, 1:]
        positions = jnp.broadcast_to(jnp.arange(LENGTH)[None, :], inputs.shape)
        states = model._encode(params, inputs, positions, Context(), None)
        scores = jnp.einsum("uld,id->uli", states, params["items"]["embedding"])
        losses = -jnp.take_along_axis(jax.nn.log_softmax(scores), jnp.maximum(targets - 1, 0)[..., None], -1)[..., 0]
        real = inputs > 0
        return jnp.where(real, losses, 0).sum() / real.sum()

    return jax.jit(jax.value_and_grad(total))


@functools.cache
def states_of(config):
    """Compiled states of a stream's batch; dropout where a key is given."""
    model = model_of(config)
    return jax.jit(lambda params, batch, rng=None: model.stream_states(params, batch, Context(), rng))


@functools.cache
def vectors_of(config):
    """Compiled user vectors of an encoded model."""
    return jax.jit(model_of(config).user_vectors)


users_sequences = st.lists(
    st.lists(st.integers(0, NUM_ITEMS - 1), min_size=2, max_size=LENGTH + 1), min_size=NUM_USERS, max_size=NUM_USERS
)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=15, deadline=None)
@given(users_sequences, st.permutations(range(NUM_USERS)), st.sampled_from([(1, 3), (2, 8)]))
def test_the_stream_has_the_loss_and_gradient_of_padded_rows(name, sequences, order, rows):
    config = CONFIGS[name]
    padded = np.zeros((NUM_USERS, LENGTH + 1), np.int32)
    for user, items in enumerate(sequences):
        padded[user, LENGTH + 1 - len(items) :] = np.array(items) + 1
    expected = padded_gradient(config)(params_of(config), padded)
    batches = stream_epoch(sequences, order, *rows)
    weights = np.array([batch["mask"].sum() for batch in batches]) / sum(len(items) - 1 for items in sequences)
    parts = [stream_gradient(config)(params_of(config), batch) for batch in batches]
    actual = jax.tree.map(lambda *leaves: sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)), *parts)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_later_item_changes_no_earlier_state(name):
    states, params = states_of(CONFIGS[name]), params_of(CONFIGS[name])
    (batch,) = stream_epoch([[1, 2, 3, 4, 5, 6]] * NUM_USERS, range(NUM_USERS), 1, 30)
    last = np.flatnonzero(batch["segment_ids"][0] == 2)[-1]
    changed = batch | {"tokens": batch["tokens"].copy()}
    changed["tokens"][0, last] = 12
    before, after = (np.asarray(states(params, rows)[0]) for rows in (batch, changed))
    differs = np.flatnonzero((before != after).any(-1)) + batch["tokens"].shape[1] - 30
    assert differs.tolist() == [last]


@pytest.mark.parametrize("name", CONFIGS)
def test_states_of_histories_are_those_of_the_stream_whatever_their_padding(name):
    model, params = model_of(CONFIGS[name]), params_of(CONFIGS[name])
    encoded = model.encode(params, Context())
    (batch,) = stream_epoch([[1, 2, 3, 4]] * NUM_USERS, range(NUM_USERS), 1, 18)
    expected = states_of(CONFIGS[name])(params, batch)[0, 2]
    for histories in ([[2, 3, 4]], [[0, 0, 2, 3, 4]], [[9, 9, 9, 9, 9, 9, 0, 0, 2, 3, 4]]):
        rows = {"user_ids": jnp.zeros(1, jnp.int32), "histories": (jnp.ones((1, 2), jnp.int32), jnp.array(histories))}
        np.testing.assert_allclose(vectors_of(CONFIGS[name])(encoded, rows)[0, 0], expected, atol=1e-5)
    of_context = model.encode(params, Context(histories=(jnp.array([[0, 0, 0, 0, 7], [0, 0, 2, 3, 4]]),)))
    vectors = vectors_of(CONFIGS[name])(of_context, {"user_ids": jnp.array([1, 0])})
    np.testing.assert_allclose(vectors[0, 0], expected, atol=1e-5)
    assert jnp.any(vectors[1] != vectors[0])


@pytest.mark.parametrize("name", CONFIGS)
def test_an_empty_history_is_finite_in_ranking_and_in_training(name):
    config = dataclasses.replace(CONFIGS[name], augment="prefix")
    model, params = model_of(config), params_of(config)
    batch = {
        "user_ids": jnp.arange(2),
        "target_item_ids": jnp.array([3, 4]),
        "mask": jnp.ones(2, bool),
        "histories": (jnp.zeros((2, LENGTH), jnp.int32),),
    }
    vectors = vectors_of(config)(model.encode(params, Context()), batch)
    assert jnp.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[1])
    loss, gradient = stream_gradient(config)(params, batch)
    assert jnp.isfinite(loss)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


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


def test_dropout_follows_from_the_steps_key():
    config = dataclasses.replace(CONFIG, dropout=0.5)
    params = params_of(config)
    (batch,) = stream_epoch([[1, 2, 3, 4]] * NUM_USERS, range(NUM_USERS), 1, 18)
    states = [states_of(config)(params, batch, jax.random.key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(states[0], states[1])
    assert jnp.any(states[0] != states[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "model.num_heads: found 3, allowed: divisors of dim, 8"),
        ({"dropout": 1.0}, "model.dropout: found 1.0, allowed: from 0 to below 1"),
        ({"max_length": 0}, "model.max_length: found 0"),
        ({"events": "all", "augment": "prefix"}, "model.augment: found prefix, allowed: all_positions"),
        ({"loss": ItemLossConfig(num_negatives=0)}, "model.loss.num_negatives: found 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CONFIG, **changes).validate()
