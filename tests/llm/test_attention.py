"""Grouped attention against the one that JAX brings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.llm.attention import grouped_attention


def case(dtype=jnp.float32, tokens=5, slots=7, heads=4, held=2):
    rng = np.random.default_rng(0)
    query, keys, values = (
        jnp.asarray(rng.normal(size=(3, length, count, 8)), dtype)
        for length, count in ((tokens, heads), (slots, held), (slots, held))
    )
    mask = jnp.asarray(rng.random((3, 1, tokens, slots)) < 0.6).at[..., 0].set(True)
    return query, keys, values, mask


@pytest.mark.parametrize(("heads", "held"), [(4, 4), (4, 2), (6, 1)])
def test_values_and_gradients_are_those_of_jax(heads, held):
    *arrays, mask = case(heads=heads, held=held)
    slopes = jnp.asarray(np.random.default_rng(1).normal(size=arrays[0].shape), jnp.float32)

    def both(function):
        return jax.value_and_grad(lambda *given: jnp.vdot(slopes, function(*given)), argnums=(0, 1, 2))(*arrays)

    ours = both(lambda *given: grouped_attention(*given, mask))
    expected = both(lambda *given: jax.nn.dot_product_attention(*given, mask=mask))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, expected)


def test_half_precision_keeps_its_type_and_sums_in_float32():
    query, keys, values, mask = case(jnp.bfloat16, slots=300)
    found = grouped_attention(query, keys, values, mask)
    assert found.dtype == jnp.bfloat16
    exact = grouped_attention(*(x.astype(jnp.float32) for x in (query, keys, values)), mask)
    np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=2e-3)


def test_one_mask_for_all_rows_and_a_query_that_may_read_nothing():
    query, keys, values, mask = case()
    mask = mask[:1].at[0, 0, 2].set(False)
    found = grouped_attention(query, keys, values, mask)
    assert np.isfinite(found).all()
    repeated = grouped_attention(query, keys, values, jnp.repeat(mask, 3, axis=0))
    np.testing.assert_allclose(found, repeated, rtol=1e-6)
    np.testing.assert_allclose(found[:, 2], jnp.repeat(values.mean(1), 2, axis=1), rtol=1e-5, atol=1e-6)
