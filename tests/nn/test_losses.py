"""Losses against sums written out, and what may not influence them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.nn.contrast import (
    MIN_TEMPERATURE,
    comparable,
    divergence,
    info_nce,
    log_partition,
    log_softmax,
    normalize,
    own_candidate,
    shifted,
    similarities,
)
from jaxrec.nn.losses import bpr_loss, half_squared_norm, masked_mean, squared_norm
from jaxrec.nn.momentum import follow

RNG = np.random.default_rng(0)


def rows(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def contrast(anchors, candidates, ids=None, mask=None, temperature=0.2):
    size = len(anchors)
    ids = jnp.arange(size) if ids is None else jnp.asarray(ids)
    mask = jnp.ones(size, bool) if mask is None else jnp.asarray(mask)
    own = own_candidate(size, size)
    logits = similarities(normalize(anchors), normalize(candidates), temperature)
    return masked_mean(info_nce(logits, comparable(ids, mask, ids, mask, own), own), mask)


def test_bpr_is_softplus_of_the_difference_over_real_rows():
    users, positives, negatives = rows(3, 5), rows(3, 5), rows(3, 5)
    mask = jnp.array([True, True, False])
    expected = [np.log1p(np.exp(users[r] @ negatives[r] - users[r] @ positives[r])) for r in range(2)]
    np.testing.assert_allclose(bpr_loss(users, positives, negatives, mask), np.mean(expected), rtol=1e-6)
    bias = jnp.array([1.0, -2.0, 99.0])
    shifted = [np.log(np.exp(value) - 1) + b for value, b in zip(expected, (1.0, -2.0), strict=True)]
    with_bias = bpr_loss(users, positives, negatives, mask, bias)
    np.testing.assert_allclose(with_bias, np.mean(np.log1p(np.exp(shifted))), rtol=1e-5)


def test_bpr_and_its_gradient_stay_finite_far_out():
    def far(scale):
        return bpr_loss(jnp.ones((1, 1)), -scale * jnp.ones((1, 1)), scale * jnp.ones((1, 1)), jnp.ones(1, bool))

    for scale, expected in ((1e4, 2e4), (-1e4, 0.0)):
        value, slope = jax.value_and_grad(far)(scale)
        assert value == expected
        assert jnp.isfinite(slope)


def test_norms_count_real_rows_and_every_parameter():
    values = rows(3, 4, 2)
    mask = jnp.array([True, False, True, False])
    expected = 0.5 * sum((np.asarray(values)[:, r] ** 2).sum() for r in (0, 2)) / 2
    np.testing.assert_allclose(half_squared_norm(values, mask), expected, rtol=1e-6)
    tree = {"a": rows(3, 2), "b": {"c": rows(4)}}
    np.testing.assert_allclose(
        squared_norm(tree), (np.asarray(tree["a"]) ** 2).sum() + (np.asarray(tree["b"]["c"]) ** 2).sum(), rtol=1e-6
    )


def test_unit_length_and_a_finite_slope_at_zero():
    vectors = jnp.concatenate([rows(2, 4), jnp.zeros((1, 4))])
    np.testing.assert_allclose(jnp.linalg.norm(normalize(vectors), axis=1), [1, 1, 0], atol=1e-6)
    gradient = jax.grad(lambda v: normalize(v)[:2].sum())(vectors)
    assert jnp.isfinite(gradient).all()


def test_aligned_views_are_cheap_and_exchanged_ones_dear():
    views = jnp.eye(6)
    aligned = contrast(views, views)
    np.testing.assert_allclose(aligned, -np.log(np.exp(5) / (np.exp(5) + 5)), rtol=1e-5)
    assert aligned < np.log(6)
    assert contrast(views, views[jnp.array([1, 0, 2, 3, 4, 5])]) > aligned + 1


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_a_node_is_never_its_own_negative(temperature):
    """Rows 1 and 3 are one node with one view: neither may stand in the other's denominator."""
    anchors, candidates = rows(5, 4), rows(5, 4)
    anchors, candidates = anchors.at[3].set(anchors[1]), candidates.at[3].set(candidates[1])
    ids = [7, 2, 9, 2, 4]
    unit = [np.asarray(normalize(views), np.float64) for views in (anchors, candidates)]
    expected = []
    for r in range(5):
        terms = {c: np.exp(unit[0][r] @ unit[1][c] / temperature) for c in range(5) if c == r or ids[c] != ids[r]}
        expected.append(-np.log(terms[r] / sum(terms.values())))
    np.testing.assert_allclose(contrast(anchors, candidates, ids, None, temperature), np.mean(expected), rtol=1e-5)
    # A batch of one node has no negative at all.
    assert contrast(anchors, candidates, [3] * 5) == 0


def test_masked_rows_are_neither_anchors_nor_candidates():
    anchors, candidates = rows(6, 4), rows(6, 4)
    mask = [True, True, False, True, False, True]
    kept = np.flatnonzero(mask)
    np.testing.assert_allclose(
        contrast(anchors, candidates, None, mask), contrast(anchors[kept], candidates[kept]), rtol=1e-6
    )

    def loss(anchors, candidates):
        return contrast(anchors, candidates, None, mask)

    for gradient in jax.grad(loss, argnums=(0, 1))(anchors, candidates):
        assert jnp.all(gradient[jnp.array([2, 4])] == 0)
    assert contrast(anchors, candidates, None, [False] * 6) == 0


def test_own_candidates_of_a_share_of_the_batch():
    own = own_candidate(2, 6, 4)
    np.testing.assert_array_equal(jnp.argwhere(own), [[0, 4], [1, 5]])
    ids, mask = jnp.array([0, 1, 2, 1, 0, 5]), jnp.array([True, True, False, True, True, True])
    whole = comparable(ids, mask, ids, mask, own_candidate(6, 6))
    np.testing.assert_array_equal(comparable(ids[4:], mask[4:], ids, mask, own), whole[4:])


def test_log_softmax_over_allowed_candidates():
    logits = rows(3, 4)
    allowed = jnp.array([[True, True, False, True], [False] * 4, [True] * 4])
    actual = log_softmax(logits, allowed)
    np.testing.assert_allclose(jnp.where(allowed, jnp.exp(actual), 0).sum(1), [1, 0, 1], rtol=1e-6)
    np.testing.assert_array_equal(actual[1], 0)
    weights = np.exp(np.asarray(logits[0])[[0, 1, 3]])
    np.testing.assert_allclose(jnp.exp(actual[0])[jnp.array([0, 1, 3])], weights / weights.sum(), rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: log_softmax(x, allowed).sum())(logits)).all()


def test_divergence_is_kl_of_the_teacher_from_the_student():
    teacher, student = rows(3, 4), rows(3, 4)
    allowed = jnp.ones((3, 4), bool).at[0, 2].set(False)
    actual = divergence(teacher, student, allowed)
    for r in range(3):
        columns = np.flatnonzero(allowed[r])
        v, u = (np.exp(np.asarray(x[r], np.float64)[columns]) for x in (teacher, student))
        v, u = v / v.sum(), u / u.sum()
        np.testing.assert_allclose(actual[r], (v * np.log(v / u)).sum(), rtol=1e-5)
    assert not np.allclose(actual, divergence(student, teacher, allowed), rtol=1e-3)
    assert jnp.all(jax.grad(lambda t: divergence(t, student, allowed).sum())(teacher) == 0)
    np.testing.assert_allclose(divergence(teacher.T, student.T, allowed.T, axis=0), actual, rtol=1e-5)


def test_sums_over_shifted_logits_are_exact_at_the_lowest_temperature():
    cosines = jnp.array([[-1.0, -1.0, -0.999], [1.0, -1.0, 0.3], [0.1, 0.2, 0.3]])
    allowed = jnp.ones((3, 3), bool).at[2].set(False)
    logits = (np.asarray(cosines, np.float64) - 1) / MIN_TEMPERATURE
    actual = log_partition(shifted(cosines, MIN_TEMPERATURE), allowed)
    np.testing.assert_allclose(actual[:2], np.log(np.exp(logits[:2]).sum(1)), rtol=1e-5, atol=1e-6)
    assert actual[2] == 0  # nothing to compare with
    slope = jax.grad(lambda c: log_partition(shifted(c, MIN_TEMPERATURE), allowed).sum())(cosines)
    np.testing.assert_allclose(slope.sum(1), [40, 40, 0], rtol=1e-5)


def test_divergence_from_an_equal_teacher_is_zero_and_flat():
    logits, allowed = rows(5, 5), jnp.ones((5, 5), bool)
    value, gradient = jax.value_and_grad(lambda s: divergence(logits, s, allowed).sum())(logits)
    assert value == 0
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_a_teacher_follows_by_its_momentum_and_takes_no_gradient():
    teacher, student = {"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, 0.0])}
    np.testing.assert_allclose(follow(teacher, student, 0.9)["a"], [1.2, 1.8], rtol=1e-6)
    np.testing.assert_array_equal(follow(teacher, student, 1.0)["a"], teacher["a"])
    same = {"a": rows(100)}
    np.testing.assert_array_equal(follow(same, same, 0.999)["a"], same["a"])
    slope = jax.grad(lambda s, t: follow(t, s, 0.9)["a"].sum(), argnums=(0, 1))(student, teacher)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(slope))
