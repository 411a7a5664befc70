"""ComiRec-DR: its interests against loops, what training reads and ranking reads, histories short, long and empty."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.comirec import ComiRec, ComiRecConfig
from jaxrec.nn.item_losses import ItemLossConfig

NUM_ITEMS, LENGTH = 12, 4
CONFIG = ComiRecConfig(
    dim=6, num_interests=3, max_length=LENGTH, init_std=0.5, loss=ItemLossConfig("softmax", num_negatives=3)
)
HISTORIES = np.array([[0, 0, 3, 7], [2, 9, 4, 1], [0, 0, 0, 0]], np.int32)
TARGETS = np.array([5, 0, 8], np.int32)


def model_of(config=CONFIG):
    return ComiRec(config, len(HISTORIES), NUM_ITEMS)


@functools.cache
def params():
    return model_of().init(jax.random.key(0), Context())[0]


@functools.cache
def vectors():
    """Compiled user vectors of histories."""
    model = model_of()
    encoded = model.encode(params(), Context())
    return jax.jit(lambda histories: model.user_vectors(encoded, {"histories": (histories,)}))


def by_loops(history):
    """[K, D] interests of one history without padding: logits from zero that gather the agreement."""
    items = np.asarray(params()["items"]["embedding"], np.float64)[np.array(history) - 1]
    maps = np.asarray(params()["maps"], np.float64)[LENGTH - len(history) :]
    votes = np.einsum("lf,lkfd->lkd", items, maps)
    logits = np.zeros(votes.shape[:2])
    for _ in range(CONFIG.iterations):
        coupling = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        sums = np.einsum("lk,lkd->kd", coupling, votes)
        squares = (sums**2).sum(1, keepdims=True)
        capsules = squares / (1 + squares) * sums / np.sqrt(squares)
        logits = logits + np.einsum("lkd,kd->lk", votes, capsules)
    return capsules


def test_interests_equal_plain_loops_whatever_the_padding():
    for history in ([3, 7], [2, 9, 4, 1]):
        expected = by_loops(history)
        for width in (LENGTH, LENGTH + 2):
            padded = np.zeros((1, width), np.int32)
            padded[0, width - len(history) :] = history
            np.testing.assert_allclose(vectors()(padded)[0], expected, rtol=1e-4, atol=1e-6)


def test_events_before_the_latest_are_not_read_and_shorter_tables_are():
    longer = np.array([[8, 8, 2, 9, 4, 1]], np.int32)
    np.testing.assert_array_equal(vectors()(longer), vectors()(longer[:, 2:]))
    np.testing.assert_allclose(vectors()(HISTORIES[:1, 2:]), vectors()(HISTORIES[:1]), rtol=1e-5, atol=1e-7)


def test_a_user_without_events_has_no_interest_and_all_items_tie():
    interests = vectors()(HISTORIES)
    assert not interests[2].any()
    assert interests[:2].any(-1).all()


def test_the_loss_reads_the_interest_that_is_nearest_to_the_target():
    batch = {
        "user_ids": jnp.arange(3),
        "target_item_ids": jnp.asarray(TARGETS),
        "mask": jnp.array([True, True, False]),
        "histories": (jnp.asarray(HISTORIES),),
    }
    output = jax.jit(model_of().loss)(params(), {}, batch, Context(), jax.random.key(1))
    table, interests = np.asarray(params()["items"]["embedding"]), np.asarray(vectors()(HISTORIES))
    expected = []
    for user in range(2):
        scores = interests[user] @ table.T
        chosen = scores[scores[:, TARGETS[user]].argmax()]
        expected.append(np.log(np.exp(chosen).sum()) - chosen[TARGETS[user]])
    np.testing.assert_allclose(output.total, np.mean(expected), rtol=1e-5)


@pytest.mark.parametrize("name", ["sampled_softmax", "bpr"])
def test_other_losses_over_items_train_it(name):
    config = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, name=name))
    batch = {
        "user_ids": jnp.arange(3),
        "target_item_ids": jnp.asarray(TARGETS),
        "mask": jnp.array([True, True, False]),
        "histories": (jnp.asarray(HISTORIES),),
    }
    if config.num_negatives:
        batch["negative_item_ids"] = jnp.array([[1, 2, 3]] * 3)
    ctx = Context(item_counts=jnp.arange(NUM_ITEMS, dtype=jnp.int32))
    model = model_of(config)
    gradient = jax.jit(jax.grad(lambda params: model.loss(params, {}, batch, ctx, jax.random.key(1)).total))(params())
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("field", ["dim", "num_interests", "iterations", "max_length", "init_std"])
def test_values_that_make_no_sense_are_refused_by_name(field):
    with pytest.raises(UserError, match=rf"model\.{field}: found 0"):
        dataclasses.replace(CONFIG, **{field: 0}).validate()
