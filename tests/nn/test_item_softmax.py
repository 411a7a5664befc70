"""The softmax over all items against the plain form, in every way in which it is cut up."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxrec.nn.item_softmax import item_softmax_loss
from jaxrec.nn.score_chunks import items_at_once, rows_at_once


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
    return jax.jit(jax.value_and_grad(function, present))(*learned, *given)


def assert_equal(found, expected):
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5 * float(jnp.abs(right).max()))


@pytest.mark.parametrize(("chunk", "bias"), [(1, True), (7, True), (20, False), (53, False), (8192, True)])
def test_value_and_gradients_are_those_of_the_plain_form(chunk, bias):
    learned, given = case(bias=bias)
    found = value_and_gradients(functools.partial(ours, chunk=chunk), learned, given)
    assert_equal(found, value_and_gradients(plain, learned, given))
    assert_equal(ours(*learned, *given, chunk=chunk), plain(*learned, *given))


@pytest.mark.parametrize(
    ("num_items", "chunk", "bias"), [(24, 2, False), (24, None, True), (53, 2, True), (53, None, False)]
)
def test_one_and_eight_devices_are_equal(num_items, chunk, bias):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    learned, given = case(num_rows=40 if bias else 37, num_items=num_items, bias=bias)
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


@pytest.mark.parametrize("chunk", [3, None])
def test_rows_behind_the_last_item_are_no_items(chunk):
    (hidden, table, bias), (targets, mask) = case(num_items=21)
    expected = value_and_gradients(plain, (hidden, table, bias), (targets, mask))
    longer = hidden, jnp.concatenate([table, jnp.full((3, 8), 9.0)]), jnp.concatenate([bias, jnp.full(3, 50.0)])
    function = functools.partial(ours, chunk=chunk, num_items=21)
    value, gradients = value_and_gradients(function, longer, (targets, mask))
    assert_equal((value, gradients[0]), (expected[0], expected[1][0]))
    for found, wanted in zip(gradients[1:], expected[1][1:], strict=True):
        assert_equal(found[:21], wanted)
        assert not found[21:].any()


@pytest.mark.parametrize("num_rows", [1, 2, 300])
def test_blocks_of_rows_with_a_rest_and_without(num_rows):
    learned, given = case(num_rows=num_rows)
    for chunk in (None, 30):
        found = value_and_gradients(functools.partial(ours, chunk=chunk), learned, given)
        assert_equal(found, value_and_gradients(plain, learned, given))


def test_sizes_of_blocks():
    assert rows_at_once(2048, 12_101, 2**22) == 256
    assert rows_at_once(1024, 618_529, 2**22) == 0
    assert rows_at_once(300, 53, 300 * 30) == 150
    assert items_at_once(1024, 4096, 1024 * 512) == 528
    assert items_at_once(7, 53, 7 * 20) == 18


@pytest.mark.parametrize("chunk", [3, None])
def test_all_rows_masked_is_zero_without_gradient(chunk):
    learned, (targets, _) = case()
    nothing = targets, jnp.zeros(targets.shape, bool)
    value, gradients = value_and_gradients(functools.partial(ours, chunk=chunk), learned, nothing)
    assert value == 0.0
    assert not any(leaf.any() for leaf in gradients)


@pytest.mark.parametrize("chunk", [3, None])
def test_masked_rows_may_hold_anything(chunk):
    (hidden, table, bias), (targets, mask) = case()
    function = functools.partial(ours, chunk=chunk)
    expected = value_and_gradients(function, (hidden, table, bias), (targets, mask))
    spoilt = jnp.where(mask[:, None], hidden, jnp.nan), table, bias
    found = value_and_gradients(function, spoilt, (jnp.where(mask, targets, -5), mask))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_catalogue_of_one_leaves_nothing_to_learn():
    learned, given = case(num_items=1)
    value, gradients = value_and_gradients(ours, learned, given)
    assert value == 0.0
    assert not any(leaf.any() for leaf in gradients)


@pytest.mark.parametrize("chunk", [3, None])
def test_huge_scores_neither_overflow_nor_vanish(chunk):
    learned, given = case(scale=1e4)
    found = value_and_gradients(functools.partial(ours, chunk=chunk), learned, given)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert_equal(found, value_and_gradients(plain, learned, given))


@pytest.mark.parametrize("jump", [30.0, 100.0])
@pytest.mark.parametrize("masked", [0, 8])
def test_scores_may_rise_from_chunk_to_chunk(jump, masked):
    """By more than a running sum of exponentials can hold, too, and after items that are not there at all."""
    (hidden, table, _), given = case()
    bias = jump * (jnp.arange(len(table)) // 4).astype(jnp.float32)
    bias = jnp.where(jnp.arange(len(table)) < masked, -jnp.inf, bias)
    learned, (targets, mask) = (hidden, table, bias), given
    given = jnp.maximum(targets, masked), mask
    found = value_and_gradients(functools.partial(ours, chunk=4), learned, given)
    expected = value_and_gradients(plain, learned, given)
    assert_equal(jax.tree.map(jnp.nan_to_num, found), jax.tree.map(jnp.nan_to_num, expected))
    assert jnp.isfinite(found[0])


def test_items_that_score_minus_infinity_are_not_there():
    (hidden, table, bias), (targets, mask) = case()
    targets = jnp.minimum(targets, 9)
    function = functools.partial(ours, chunk=4)
    gone = hidden, table, bias.at[10:].set(-jnp.inf)
    value, (by_hidden, by_table, by_bias) = value_and_gradients(function, gone, (targets, mask))
    assert_equal((value, by_hidden), (lambda v, g: (v, g[0]))(*value_and_gradients(plain, gone, (targets, mask))))
    assert not by_table[10:].any()
    assert not by_bias[10:].any()


@pytest.mark.parametrize("chunk", [16, None])
def test_within_a_scan_and_under_vmap(chunk):
    cases = [case(seed=seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *cases)
    one = [value_and_gradients(plain, *one) for one in cases]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one)
    function = functools.partial(value_and_gradients, functools.partial(ours, chunk=chunk))
    assert_equal(jax.jit(jax.vmap(function))(*stacked), expected)

    def total(hidden):
        def add(sum_so_far, each):
            (_, table, bias), given, own = each
            return sum_so_far + ours(own, table, bias, *given, chunk=chunk), None

        return jax.lax.scan(add, jnp.zeros(()), (*stacked, hidden))[0]

    assert_equal(jax.jit(jax.grad(total))(stacked[0][0]), expected[1][0])


def test_bfloat16_is_summed_in_float32():
    learned, given = case(num_rows=64, num_items=500, bias=False)
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), learned)
    found = value_and_gradients(functools.partial(ours, chunk=100), rounded, given)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), rounded)
    expected = value_and_gradients(plain, wide, given)
    assert found[0].dtype == jnp.float32
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    for left, right in zip(found[1], expected[1], strict=True):
        assert left.dtype == jnp.bfloat16
        np.testing.assert_allclose(left.astype(jnp.float32), right, atol=0.01 * float(jnp.abs(right).max()))


def test_the_weight_of_the_loss_reaches_the_gradient():
    learned, given = case()
    for chunk in (3, None):
        tripled = value_and_gradients(lambda *a, c=chunk: 3.0 * ours(*a, chunk=c), learned, given)
        assert_equal(tripled, jax.tree.map(lambda leaf: 3.0 * leaf, value_and_gradients(plain, learned, given)))


@pytest.mark.parametrize("chunk", [None, 8192])
def test_no_scores_of_all_items_exist(chunk):
    num_rows, num_items, dim = 1024, 618_529, 64
    shapes = [((num_rows, dim), jnp.float32), ((num_items, dim), jnp.float32), ((num_rows,), jnp.int32)]
    arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]

    def loss(hidden, table, targets):
        return item_softmax_loss(hidden, table, targets, jnp.ones(num_rows, bool), chunk=chunk)

    memory = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*arguments).compile().memory_analysis()
    all_scores = 4 * num_rows * num_items
    assert memory.temp_size_in_bytes < all_scores / 24
