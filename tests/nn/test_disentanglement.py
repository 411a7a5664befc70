"""Which way the two readings of the contrast move vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.nn.disentanglement import literal_contrast, mean_cosine, repulsion

TEMPERATURE = 0.3


def vectors(seed=0, rows=3, count=7, width=5):
    common = jax.random.normal(jax.random.key(seed + 1), (rows, 1, width))
    return common + jax.random.normal(jax.random.key(seed), (rows, count, width))


def test_values_are_the_equations():
    given = np.asarray(vectors(), np.float64)
    unit = given / np.linalg.norm(given, axis=-1, keepdims=True)
    apart, printed, cosines = [], [], []
    for row in unit:
        similarity = row @ row.T
        off = ~np.eye(7, dtype=bool)
        totals = [np.exp(similarity[i][off[i]] / TEMPERATURE).sum() for i in range(7)]
        apart.append(np.mean(np.log(np.array(totals) / 6)))
        printed.append(
            np.mean([-similarity[i, j] / TEMPERATURE + np.log(totals[i]) for i in range(7) for j in range(7) if i != j])
        )
        cosines.append(similarity[off].mean())
    np.testing.assert_allclose(repulsion(given.astype(np.float32), TEMPERATURE), apart, rtol=1e-5)
    np.testing.assert_allclose(literal_contrast(given.astype(np.float32), TEMPERATURE), printed, rtol=1e-5)
    np.testing.assert_allclose(mean_cosine(given.astype(np.float32)), cosines, rtol=1e-5)


def test_a_step_of_repulsion_lowers_the_mean_cosine():
    given = vectors()
    gradient = jax.grad(lambda h: repulsion(h, TEMPERATURE).sum())(given)
    assert jnp.all(mean_cosine(given - 0.1 * gradient) < mean_cosine(given))


@pytest.mark.parametrize("cosine", [0.0, 0.9])
def test_the_printed_form_has_no_gradient_where_all_are_equally_alike(cosine):
    """Seven vectors of the same pairwise cosine, low or high: repulsion moves the high ones, Eq. 20 neither."""
    alike = jnp.sqrt(cosine) * jnp.ones((7, 8)) / jnp.sqrt(8.0)
    basis = jnp.linalg.qr(jnp.concatenate([jnp.ones((1, 8)), jnp.eye(8)[:7]]).T)[0][:, 1:8].T
    given = (alike + jnp.sqrt(1 - cosine) * basis)[None]
    np.testing.assert_allclose(mean_cosine(given), [cosine], atol=1e-5)
    printed = jax.grad(lambda h: literal_contrast(h, TEMPERATURE).sum())(given)
    apart = jax.grad(lambda h: repulsion(h, TEMPERATURE).sum())(given)
    assert jnp.abs(printed).max() < 1e-5
    assert jnp.abs(apart).max() > 0.03


def test_finite_for_equal_and_for_zero_vectors():
    for given in (jnp.ones((2, 3, 4)), jnp.zeros((2, 3, 4))):
        for form in (repulsion, literal_contrast):
            value, gradient = jax.value_and_grad(lambda h, form=form: form(h, TEMPERATURE).sum())(given)
            assert jnp.isfinite(value)
            assert jnp.isfinite(gradient).all()
