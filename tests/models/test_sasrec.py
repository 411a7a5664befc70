"""SASRec against a padded reference, user by user; what later items, padding and empty histories may not do."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrec.data.sequence_rows import stream_rows
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.nn.attention import stream_blocks
from jaxrec.nn.item_losses import ItemLossConfig
from tests.models.small_sasrec import CONFIG, LENGTH, NUM_ITEMS, NUM_USERS, flat, model_of

CONFIGS = {
    "pre": CONFIG,
    "post": dataclasses.replace(CONFIG, norm="post", embedding_norm=False, scale_embeddings=True),
}


@functools.cache
def params_of(config):
    """Parameters that have left their first values."""
    params, _ = model_of(config).init(jax.random.key(0), Context())
    noise = jax.random.normal(jax.random.key(3), (1000,))
    return jax.tree.map(lambda leaf: leaf + 0.3 * jnp.resize(noise, leaf.shape), params)


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
