"""In-batch softmax against loops over rows: what a negative is, both readouts, draws, and the correction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.nn.in_batch_softmax import in_batch_softmax

B, K, D, L, NUM_ITEMS = 9, 3, 5, 4, 12
RNG = jax.random.key(0)


def world(seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, NUM_ITEMS, B).astype(np.int32)
    targets[3] = targets[1]  # a duplicate
    histories = np.zeros((B, L), np.int32)
    for row in range(B):
        length = row % (L + 1)
        histories[row, L - length :] = rng.integers(0, NUM_ITEMS, length) + 1
    histories[4, -1] = targets[0] + 1  # row 4 has had what row 0 wants
    mask = np.ones(B, bool)
    mask[[2, 8]] = False
    table = rng.normal(size=(NUM_ITEMS, D)).astype(np.float32)
    interests = rng.normal(size=(B, K, D)).astype(np.float32)
    return interests, table[targets], targets, histories, mask


def negatives_of(row, targets, histories, mask):
    seen = set(histories[row].tolist())
    return [j for j in range(B) if mask[j] and targets[j] != targets[row] and targets[j] + 1 not in seen]


def reference(interests, items, targets, histories, mask, readout, counts=None):
    losses = []
    for row in np.flatnonzero(mask):
        scores = interests[row].astype(np.float64) @ items.T.astype(np.float64)
        if readout == "argmax_target":
            scores = scores[scores[:, row].argmax()]
        else:
            scores = scores.max(0)
        others = negatives_of(row, targets, histories, mask)
        terms = np.exp(scores[others])
        if counts is not None:
            terms = terms / (len(others) * counts[targets[others]] / counts.sum())
        losses.append(np.log(np.exp(scores[row]) + terms.sum()) - scores[row])
    return np.mean(losses)


@pytest.mark.parametrize("readout", ["per_candidate_max", "argmax_target"])
@pytest.mark.parametrize("corrected", [False, True])
def test_equals_a_loop_over_rows(readout, corrected):
    given = world()
    counts = np.arange(1, NUM_ITEMS + 1) if corrected else None
    expected = reference(*given, readout, counts)
    actual = in_batch_softmax(*map(jnp.asarray, given), RNG, readout=readout, item_counts=counts)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_the_readouts_differ():
    given = list(map(jnp.asarray, world()))
    one, other = (in_batch_softmax(*given, RNG, readout=name) for name in ("per_candidate_max", "argmax_target"))
    assert one > other  # a negative never scores less by its own best interest
    given[0] = given[0][:, :1]
    one, other = (in_batch_softmax(*given, RNG, readout=name) for name in ("per_candidate_max", "argmax_target"))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_no_more_are_drawn_than_asked_for_and_only_negatives():
    """With interests of zero the loss of a row is log(1 + the negatives it has)."""
    interests, items, targets, histories, mask = map(jnp.asarray, world())
    zeros = jnp.zeros_like(interests)
    for count in (1, 2, 5, 50):
        loss = in_batch_softmax(zeros, items, targets, histories, mask, RNG, num_negatives=count)
        found = [len(negatives_of(row, *map(np.asarray, (targets, histories, mask)))) for row in np.flatnonzero(mask)]
        np.testing.assert_allclose(loss, np.log1p(np.minimum(found, count)).mean(), rtol=1e-6)


def test_each_negative_is_drawn_as_often_as_another():
    size, draws = 6, 1500
    eye = jnp.eye(size)
    ids, none = jnp.arange(size, dtype=jnp.int32), jnp.zeros((size, 1), jnp.int32)
    real = jnp.ones(size, bool)

    @jax.jit
    @jax.vmap
    def slopes(key):
        return jax.grad(lambda x: in_batch_softmax(x, eye, ids, none, real, key, num_negatives=2))(eye[:, None, :] * 0)

    hits = np.asarray(slopes(jax.random.split(RNG, draws))[:, :, 0]) > 0  # the slope of a negative is above 0
    assert (hits.sum(2) == 2).all()
    shares = hits.mean(0)[~np.eye(size, dtype=bool)]
    np.testing.assert_allclose(shares, 2 / 5, atol=0.05)
    assert not hits.mean(0)[np.eye(size, dtype=bool)].any()


@pytest.mark.parametrize("count", [None, 2])
def test_masked_rows_change_nothing_and_get_no_gradient(count):
    interests, items, targets, histories, mask = map(jnp.asarray, world())

    @jax.jit
    def loss(interests, items, targets, histories, mask):
        return in_batch_softmax(interests, items, targets, histories, mask, RNG, num_negatives=count)

    mask = jnp.arange(B) < 6
    expected, slopes = jax.jit(jax.value_and_grad(loss, (0, 1)))(interests, items, targets, histories, mask)
    assert jnp.all(slopes[0][6:] == 0)
    assert jnp.all(slopes[1][6:] == 0)
    shorter = loss(interests[:6], items[:6], targets[:6], histories[:6], mask[:6])
    np.testing.assert_allclose(shorter, expected, rtol=1e-6)
    changed = loss(interests, items.at[6:].set(9.0), targets.at[6:].set(0), histories.at[6:].set(1), mask)
    np.testing.assert_allclose(changed, expected, rtol=1e-6)


def test_rows_without_a_negative_have_no_loss_and_finite_gradients():
    interests, items, _, histories, mask = map(jnp.asarray, world())
    same = jnp.zeros(B, jnp.int32)
    for counts in (None, jnp.ones(NUM_ITEMS, jnp.int32)):
        value, slopes = jax.value_and_grad(in_batch_softmax)(
            interests, items, same, histories, mask, RNG, item_counts=counts
        )
        assert value == 0
        assert jnp.all(slopes == 0)
    nobody = jnp.zeros(B, bool)
    assert in_batch_softmax(interests, items, same, histories, nobody, RNG) == 0
