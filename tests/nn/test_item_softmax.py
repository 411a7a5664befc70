"""The softmax over all items against the plain form, in every way in which it is cut up."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxrec.nn.item_softmax import item_softmax_loss


def case(num_rows=37, num_items=53, dim=8, seed=0, bias=True, scale=1.0):
    rng = np.random.default_rng(seed)
    hidden = jnp.asarray(scale * rng.normal(size=(num_rows, dim)), jnp.float32)
    table = jnp.asarray(rng.normal(size=(num_items, dim)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, num_items, num_rows), jnp.int32)
    mask = jnp.asarray(rng.random(num_rows) < 0.8)
    return (hidden, table, jnp.asarray(rng.normal(size=num_items), jnp.float32) if bias else None), (targets, mask)


def plain(hidden, table, bias, targets, mask):
    scores = jnp.einsum("nd,id->ni", hidden, table, precision="highest") + (0.0 if bias is None else bias[None, :])
    own = jnp.take_along_axis(jax.nn.log_softmax(scores), targets[:, None], 1)[:, 0]
    return -jnp.where(mask, own, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def ours(hidden, table, bias, targets, mask, **options):
    return item_softmax_loss(hidden, table, targets, mask, bias, **options)


def value_and_gradients(function, learned, given):
    present = [place for place, leaf in enumerate(learned) if leaf is not None]
    return jax.value_and_grad(function, present)(*learned, *given)


def assert_equal(found, expected):
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5 * float(jnp.abs(right).max()))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 20, 53, 8192])
def test_value_and_gradients_are_those_of_the_plain_form(chunk, bias):
    learned, given = case(bias=bias)
    found = value_and_gradients(functools.partial(ours, chunk=chunk), learned, given)
    assert_equal(found, value_and_gradients(plain, learned, given))
    assert_equal(ours(*learned, *given, chunk=chunk), plain(*learned, *given))


@pytest.mark.parametrize("num_items", [24, 53])
@pytest.mark.parametrize("chunk", [2, 8192])
@pytest.mark.parametrize("bias", [False, True])
def test_one_and_eight_devices_are_equal(num_items, chunk, bias):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    learned, given = case(num_items=num_items, bias=bias)
    expected = value_and_gradients(plain, learned, given)
    function = jax.jit(
        lambda *arguments: value_and_gradients(
            functools.partial(ours, chunk=chunk, mesh=mesh), arguments[:3], arguments[3:]
        )
    )
    assert_equal(function(*learned, *given), expected)
    by_items = PartitionSpec(("data", "model")) if num_items % 8 == 0 else PartitionSpec()
    shared = jax.device_put(learned[1], NamedSharding(mesh, by_items))
    assert_equal(function(learned[0], shared, learned[2], *given), expected)
