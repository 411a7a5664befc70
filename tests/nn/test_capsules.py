"""Routing against plain loops; what padding, its place, the order of items and other users may not change."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxrec.nn.capsules import position_votes, route, route_items, routing_logits, squash
from tests.models.world import mesh_of

USERS, LENGTH, CAPSULES, WIDTH, DIM = 4, 6, 3, 5, 7
UPDATES = ("assign", "accumulate")


def case(seed=0):
    """Items, a map for each capsule, mask (the last user has no item at all), first logits and gates."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(USERS, LENGTH, WIDTH)).astype(np.float32)
    kernel = rng.normal(size=(CAPSULES, WIDTH, DIM)).astype(np.float32)
    mask = np.arange(LENGTH)[None, :] >= np.array([0, 2, 5, LENGTH])[:, None]
    logits = rng.normal(size=(USERS, LENGTH, CAPSULES)).astype(np.float32)
    gate = rng.uniform(0.2, 0.9, size=(USERS, LENGTH)).astype(np.float32)
    return items, kernel, mask, logits, gate


def votes_of(items, kernel):
    return jnp.einsum("blf,kfd->bkld", items, kernel)


def by_loops(items, kernel, mask, logits, gate, iterations, update):
    """Capsules and coupling by Eq. 5 to 8, one user, item and capsule at a time, in float64."""
    capsules, couplings = np.zeros((USERS, CAPSULES, DIM)), np.zeros((USERS, LENGTH, CAPSULES))
    for user in range(USERS):
        places = np.flatnonzero(mask[user])
        r = logits[user].astype(np.float64)
        for _ in range(iterations):
            coupling = np.zeros((LENGTH, CAPSULES))
            for place in places:
                powers = np.exp(r[place] - r[place].max())
                coupling[place] = powers / powers.sum()
            for j in range(CAPSULES):
                h = np.zeros(DIM)
                for place in places:
                    h += coupling[place, j] * gate[user, place] * (items[user, place] @ kernel[j])
                norm = np.linalg.norm(h)
                capsules[user, j] = norm**2 / (1 + norm**2) * h / norm if norm > 0 else 0.0
            for place, j in itertools.product(places, range(CAPSULES)):
                agreement = (items[user, place] @ kernel[j]) @ capsules[user, j]
                r[place, j] = agreement + (r[place, j] if update == "accumulate" else 0.0)
        couplings[user] = coupling
    return capsules, couplings


@functools.cache
def compiled(function, **options):
    return jax.jit(functools.partial(function, **options))


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("iterations", [1, 3])
def test_routing_equals_plain_loops_from_votes_and_from_items(iterations, update):
    items, kernel, mask, logits, gate = case()
    options = {"iterations": iterations, "update": update}
    capsules, coupling = by_loops(items, kernel, mask, logits, gate, **options)
    for routed in (
        compiled(route, **options)(votes_of(items, kernel), mask, logits, gate),
        compiled(route_items, **options)(items, kernel, mask, logits, gate),
    ):
        np.testing.assert_allclose(routed.capsules, capsules, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(routed.coupling, coupling, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(routed.coupling.sum(-1), mask, atol=1e-6)
        assert (np.linalg.norm(routed.capsules, axis=-1) < 1).all()


def test_one_map_for_all_capsules_is_that_map_for_each():
    items, kernel, mask, logits, gate = case()
    shared = compiled(route_items)(items, kernel[0], mask, logits, gate)
    each = compiled(route_items)(items, np.stack([kernel[0]] * CAPSULES), mask, logits, gate)
    np.testing.assert_allclose(shared.capsules, each.capsules, rtol=1e-5, atol=1e-6)


def test_maps_of_positions_vote_each_in_its_place():
    items, kernel, *_ = case()
    maps = np.random.default_rng(1).normal(size=(LENGTH, *kernel.shape)).astype(np.float32)
    votes = np.asarray(compiled(position_votes)(items, maps))
    assert votes.shape == (USERS, CAPSULES, LENGTH, DIM)
    for user, capsule, place in [(0, 0, 0), (1, 2, 4), (3, 1, 5)]:
        np.testing.assert_allclose(
            votes[user, capsule, place], items[user, place] @ maps[place, capsule], rtol=1e-4, atol=1e-5
        )


def test_one_capsule_is_the_squashed_weighted_sum():
    items, kernel, mask, logits, gate = case()
    routed = compiled(route_items)(items, kernel[:1], mask, logits[..., :1], gate)
    total = np.einsum("bl,blf->bf", mask * gate, items) @ kernel[0]
    np.testing.assert_allclose(routed.capsules[:, 0], compiled(squash)(total), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(routed.coupling[..., 0], mask)


def test_squash_has_finite_gradients_everywhere_and_zero_at_zero():
    vectors = jnp.array([[0.0, 0.0], [1e-20, 0.0], [1e-6, 1e-6], [3.0, 4.0], [1e6, 0.0]])
    lengths = np.linalg.norm(compiled(squash)(vectors), axis=1)
    np.testing.assert_allclose(lengths[3:], [25 / 26, 1.0], rtol=1e-6)
    gradient = jax.jit(jax.jacobian(squash))(vectors)
    assert np.isfinite(gradient).all()
    assert not gradient[0].any()


@pytest.mark.parametrize("update", UPDATES)
def test_masked_items_their_place_and_the_order_of_items_change_nothing(update):
    items, kernel, mask, *_ = case()
    tokens = np.where(mask, np.arange(1, USERS * LENGTH + 1).reshape(USERS, LENGTH), 0)
    key, draw = jax.random.key(7), compiled(routing_logits, num_capsules=CAPSULES)

    def capsules(tokens, items):
        logits = draw(key, tokens)
        return compiled(route_items, update=update)(items, kernel, tokens > 0, logits).capsules

    expected = capsules(tokens, items)
    rng = np.random.default_rng(2)
    np.testing.assert_array_equal(capsules(tokens, np.where(mask[..., None], items, 1e3)), expected)
    order = rng.permutation(LENGTH)
    np.testing.assert_allclose(capsules(tokens[:, order], items[:, order]), expected, rtol=1e-4, atol=1e-6)
    wider = np.pad(tokens, ((0, 0), (3, 0))), np.pad(items, ((0, 0), (3, 0), (0, 0)), constant_values=9.0)
    np.testing.assert_allclose(capsules(*wider), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(capsules(tokens[1:2], items[1:2]), expected[1:2], rtol=1e-4, atol=1e-6)
    assert not expected[-1].any()  # nothing was done, so nothing is of interest


def test_first_logits_are_standard_normal_fixed_by_key_and_item():
    tokens = jnp.arange(4000).reshape(400, 10)
    draw = compiled(routing_logits, num_capsules=2)
    drawn = np.asarray(draw(jax.random.key(0), tokens))
    assert drawn.shape == (400, 10, 2)
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [0, 1], atol=0.03)
    assert abs(np.corrcoef(drawn.reshape(-1, 2).T)[0, 1]) < 0.05
    np.testing.assert_array_equal(draw(jax.random.key(0), tokens[::-1]), drawn[::-1])
    assert (draw(jax.random.key(1), tokens) != drawn).all()
    assert not routing_logits(jax.random.key(0), tokens, 2, "zeros").any()


@pytest.mark.parametrize("function", [route, route_items])
def test_the_gradient_comes_through_the_last_iteration_alone_unless_asked(function):
    items, kernel, mask, logits, gate = case()
    inputs = (items, kernel) if function is route_items else (votes_of(items, kernel),)
    weights = np.random.default_rng(3).normal(size=(USERS, CAPSULES, DIM)).astype(np.float32)

    def total(inputs, gate, detach):
        return (weights * function(*inputs, mask, logits, gate, detach=detach).capsules).sum()

    def last_alone(inputs, gate):
        coupling = jax.lax.stop_gradient(function(*inputs, mask, logits, gate).coupling)
        votes = votes_of(*inputs) if function is route_items else inputs[0]
        return (weights * squash(jnp.einsum("blk,bl,bkld->bkd", coupling, gate, votes))).sum()

    detached = jax.jit(jax.grad(functools.partial(total, detach=True), argnums=(0, 1)))(inputs, gate)
    expected = jax.jit(jax.grad(last_alone, argnums=(0, 1)))(inputs, gate)
    for a, e in zip(jax.tree.leaves(detached), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-3, atol=1e-5)
    attached = jax.jit(functools.partial(total, gate=gate, detach=False))
    whole = jax.jit(jax.grad(attached))(inputs)
    direction = jax.tree.map(lambda leaf: np.ones_like(leaf) * np.random.default_rng(4).normal(size=leaf.shape), inputs)
    step = 1e-2
    ends = [attached(jax.tree.map(lambda leaf, d, s=s: leaf + s * d, inputs, direction)) for s in (-step, step)]
    slope = sum((a * d).sum() for a, d in zip(jax.tree.leaves(whole), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * step), rtol=2e-2)
    assert not np.allclose(jax.tree.leaves(whole)[0], jax.tree.leaves(detached)[0], atol=1e-3)


def test_no_item_no_capsule_to_spare_and_no_gradient_that_is_not_finite():
    """Two items for five capsules, and a user without any."""
    items, kernel, _, _, gate = case()
    mask = np.zeros((USERS, LENGTH), bool)
    mask[0, -2:] = True
    kernel = np.concatenate([kernel, kernel])[:5]

    def total(items, kernel, gate):
        routed = route_items(items, kernel, mask, jnp.zeros((USERS, LENGTH, 5)), gate)
        return routed.capsules.sum(), routed

    (_, routed), gradients = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True))(items, kernel, gate)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert np.isfinite(routed.capsules).all()
    assert not routed.capsules[1:].any()
    np.testing.assert_allclose(routed.coupling[0, -2:].sum(-1), 1.0, rtol=1e-6)


def test_eight_devices_agree_with_one():
    items, kernel, mask, logits, gate = (np.concatenate([part, part]) if part.ndim < 4 else part for part in case())
    kernel = kernel[:CAPSULES]
    expected = compiled(route_items)(items, kernel, mask, logits, gate)
    rows = NamedSharding(mesh_of(8, 1), PartitionSpec("data"))
    actual = compiled(route_items)(*jax.device_put((items,), rows), kernel, *jax.device_put((mask, logits, gate), rows))
    assert len(actual.capsules.sharding.device_set) == 8
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)
