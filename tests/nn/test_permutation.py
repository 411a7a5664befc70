"""The order without a sort: a bijection for every size and key, with every element equally likely everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxrec.nn.permutation import permute_indices


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 1000, 4099])
def test_every_position_has_its_own_place(size):
    order = jax.jit(permute_indices, static_argnums=2)(jax.random.key(size), jnp.arange(size), size)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_batches_are_parts_of_one_order_and_keys_differ():
    whole = permute_indices(jax.random.key(0), jnp.arange(100), 100)
    part = permute_indices(jax.random.key(0), jnp.arange(40, 60).reshape(4, 5), 100)
    np.testing.assert_array_equal(part, whole[40:60].reshape(4, 5))
    assert (whole != permute_indices(jax.random.key(1), jnp.arange(100), 100)).sum() > 80


def test_elements_and_neighbours_are_uniform_over_keys():
    size, draws = 12, 12_000
    orders = np.asarray(
        jax.vmap(lambda rng: permute_indices(rng, jnp.arange(size), size))(jax.random.split(jax.random.key(0), draws))
    )
    counts = np.stack([np.bincount(orders[:, position], minlength=size) for position in range(size)])
    statistic = ((counts - draws / size) ** 2 / (draws / size)).sum()
    assert scipy.stats.chi2.sf(statistic, (size - 1) ** 2) > 1e-4
    # The first two elements together: all ordered pairs alike.
    pairs = np.bincount(orders[:, 0] * size + orders[:, 1], minlength=size * size).reshape(size, size)
    assert scipy.stats.chisquare(pairs[~np.eye(size, dtype=bool)]).pvalue > 1e-4
    # All orders of four elements alike.
    four = np.asarray(
        jax.vmap(lambda rng: permute_indices(rng, jnp.arange(4), 4))(jax.random.split(jax.random.key(1), draws))
    )
    _, of_order = np.unique(four @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(of_order) == 24
    assert scipy.stats.chisquare(of_order).pvalue > 1e-4


def test_a_large_order_has_no_trend():
    size = 810_000
    order = np.asarray(permute_indices(jax.random.key(3), jnp.arange(size), size))
    assert abs(scipy.stats.pearsonr(np.arange(size), order).statistic) < 5 / np.sqrt(size)
    assert abs(scipy.stats.pearsonr(order[:-1], order[1:]).statistic) < 5 / np.sqrt(size)


@pytest.mark.parametrize("size", [0, 2**31])
def test_sizes_outside_their_range_are_refused(size):
    with pytest.raises(ValueError, match="allowed 1"):
        permute_indices(jax.random.key(0), jnp.zeros(1, jnp.int32), size)
