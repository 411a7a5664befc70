"""What every registered model owes the trainer, the evaluator and the server."""

import functools

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.scoring import DirectScorer, block_scores, encode
from jaxrec.models.registry import CONFIGS, build_model, config_class
from jaxrec.nn.partition_rules import pad_rows
from jaxrec.train.mesh import shardings
from tests.models.world import NUM_ITEMS, NUM_USERS, SMALL, batch, context, mesh_of, training_batch

NAMES = sorted(SMALL)
TRAINED = [name for name in NAMES if SMALL[name].trains]
PAIRS = [name for name in TRAINED if getattr(SMALL[name], "input", "pairs") == "pairs"]
MANY_OPERATIONS = ("lmmrec", "m3bsr", "mcln", "uim")
"""So many that to compile each by itself takes minutes."""
OF_VECTORS = [name for name in NAMES if not isinstance(build_model(SMALL[name], 1, 1), DirectScorer)]


@functools.cache
def model_of(name):
    return build_model(SMALL[name], NUM_USERS, NUM_ITEMS)


@functools.cache
def init_of(name):
    return jax.jit(model_of(name).init)


@functools.cache
def started(name):
    """Model, context, and parameters that have left their first values, so that no part stands at its optimum."""
    model, ctx = model_of(name), context()
    params, extra = init_of(name)(jax.random.key(0), ctx)
    noise = jax.random.normal(jax.random.key(3), (1000,))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.resize(noise, leaf.shape), params)
    return model, ctx, params, extra


def learned(parts):
    """The part of a loss that tells targets from other items."""
    return sum(part for name, part in parts.items() if name == "softmax" or name.startswith("bpr"))


def value_and_grad(model):
    def objective(params, extra, batch, ctx, rng):
        output = model.loss(params, extra, batch, ctx, rng)
        return output.total, output

    return jax.value_and_grad(objective, has_aux=True)


@functools.cache
def compiled(name):
    return jax.jit(value_and_grad(model_of(name)))


def assert_close(actual, expected, tolerance=1e-5):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(e).max())))


def test_the_small_world_holds_every_registered_model():
    assert {config.name for config in SMALL.values()} == set(CONFIGS)
    assert all(config_class(name).name == name for name in CONFIGS)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"'lightgnc'.*popularity, bprmf, lightgcn, lmmrec.*mean lightgcn\?"):
        config_class("lightgnc")


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradients_are_finite_and_parts_add_up(name):
    _, ctx, params, extra = started(name)
    (total, output), gradient = compiled(name)(params, extra, training_batch(SMALL[name]), ctx, jax.random.key(1))
    assert total.shape == ()
    assert total.dtype == jnp.float32
    assert all(part.shape == () and jnp.isfinite(part) for part in output.parts.values())
    np.testing.assert_allclose(total, sum(output.parts.values()), rtol=1e-6)
    assert "loss" not in output.parts  # the trainer's own name for the total
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
    assert jax.tree.structure(output.extra) == jax.tree.structure(extra)
    assert jax.tree.map(jnp.shape, output.extra) == jax.tree.map(jnp.shape, extra)


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_of_masked_rows_alone_is_finite(name):
    _, ctx, params, extra = started(name)
    empty = training_batch(SMALL[name], num_real=0)
    (total, output), gradient = compiled(name)(params, extra, empty, ctx, jax.random.key(1))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((total, output.parts, gradient)))
    assert learned(output.parts) == 0


@pytest.mark.parametrize("name", TRAINED)
def test_masked_rows_change_nothing(name):
    _, ctx, params, extra = started(name)
    first = training_batch(SMALL[name])
    keep = first["mask"]

    def elsewhere(ids):
        """Other ids in the rows that are masked; a stream's tokens are no rows of the mask."""
        if ids.shape[: keep.ndim] != keep.shape:
            return ids
        rows = keep.reshape(*keep.shape, *[1] * (ids.ndim - keep.ndim))
        return jnp.where(rows, ids, (ids * 5 + 3) % NUM_ITEMS)

    other = jax.tree.map(elsewhere, {key: ids for key, ids in first.items() if key != "mask"})
    changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), other, {key: first[key] for key in other})
    assert any(jax.tree.leaves(changed))
    num_rows = int(np.flatnonzero(np.asarray(keep).reshape(len(keep), -1).any(1))[-1]) + 1
    shorter = jax.tree.map(lambda values: values[:num_rows], first)
    rng = jax.random.key(1)
    expected = compiled(name)(params, extra, first, ctx, rng)
    # Dropout of a sequence model draws for the whole batch, so that of a shorter one is another.
    alike = name in PAIRS or getattr(SMALL[name], "dropout", 0) == 0
    for same in (other | {"mask": keep}, *([shorter] if alike else [])):
        (total, output), gradient = compiled(name)(params, extra, same, ctx, rng)
        assert_close((total, output.parts, gradient), (expected[0][0], expected[0][1].parts, expected[1]), 1e-6)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_compiled_equals_eager_and_repeats_itself(name):
    model, ctx, params, extra = started(name)
    arguments = (params, extra, training_batch(SMALL[name]), ctx, jax.random.key(1))
    once = compiled(name)(*arguments)
    if name not in MANY_OPERATIONS:
        assert_close(once, value_and_grad(model)(*arguments))
    jax.tree.map(np.testing.assert_array_equal, once, compiled(name)(*arguments))


@pytest.mark.parametrize("name", NAMES)
def test_first_parameters_follow_from_the_seed(name):
    ctx, init = context(), init_of(name)
    first, again, other = (init(jax.random.key(seed), ctx)[0] for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True)
    # A filter's coefficients are no draw: they begin equal.
    drawn = [(leaf, table) for leaf, table in pairs if leaf.ndim == 2 and jnp.ptp(leaf) > 0]
    assert all(jnp.any(leaf != table) for leaf, table in drawn)


# A filter's dozen numbers cannot follow eight triples; test_polycf_signal asks it for what it can learn.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name == "m3bsr" else ()) for name in TRAINED if name in OF_VECTORS],
)
def test_overfits_a_tiny_batch(name):
    model, ctx = model_of(name), context()
    params, extra = init_of(name)(jax.random.key(0), ctx)
    users = jnp.arange(8, dtype=jnp.int32)
    tiny = training_batch(SMALL[name], num_real=8)
    if name in PAIRS:
        tiny = {
            "user_ids": users,
            "item_ids": users,
            "negative_item_ids": users + 8,
            "mask": jnp.ones(8, bool),
        }
    if name == "comirec":  # of a user without events it knows nothing, and nothing is what it can learn
        tiny["mask"] &= (tiny["histories"][-1] > 0).any(1)
    optimizer = optax.adam(0.05)

    @jax.jit
    def train(params, extra):
        def step(carry, index):
            params, extra, state = carry
            rng = jax.random.fold_in(jax.random.key(1), index)
            (_, output), gradient = value_and_grad(model)(params, extra, tiny, ctx, rng)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), output.extra, state), output.parts

        return jax.lax.scan(step, (params, extra, optimizer.init(params)), jnp.arange(150))[1]

    parts = train(params, extra)
    assert learned(parts)[-1] < 0.2 * learned(parts)[0]
    if "coordination" in parts:
        assert parts["coordination"][-1] < 0.5 * parts["coordination"][0]


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        pytest.param(name, axes, marks=pytest.mark.slow if axes == (1, 8) and name in ("m3bsr", "uim") else ())
        for name in TRAINED
        for axes in ((1, 8), (2, 4))
    ],
)
def test_eight_devices_agree_with_one(name, axes):
    model, ctx, params, extra = started(name)
    rng = jax.random.key(1)
    expected = compiled(name)(params, extra, training_batch(SMALL[name]), ctx, rng)
    mesh = mesh_of(*axes)
    state = pad_rows((params, extra), SMALL[name].partition_rules, mesh)
    placed = jax.device_put(state, shardings(state, SMALL[name].partition_rules, mesh))
    leaves = jax.tree_util.tree_leaves_with_path(placed[0])
    tables = [leaf for path, leaf in leaves if "embedding" in str(path[-1]) and leaf.shape[0] >= NUM_ITEMS]
    if SMALL[name].mesh_axis == "model":
        assert all(leaf.sharding.shard_shape(leaf.shape)[1] == leaf.shape[1] // axes[1] for leaf in tables)
    actual = jax.jit(value_and_grad(model))(*placed, training_batch(SMALL[name]), context(mesh), rng)
    assert_close(actual[0][1].parts, expected[0][1].parts)
    gradient = jax.tree.map(lambda leaf, real: leaf[: len(real)] if real.ndim else leaf, actual[1], expected[1])
    assert_close((actual[0][0], gradient, actual[0][1].extra), (expected[0][0], expected[1], expected[0][1].extra))
    padding = jax.tree.map(
        lambda leaf, real: leaf[len(real) :] if real.ndim else leaf[None][1:], actual[1], expected[1]
    )
    assert not any(leaf.any() for leaf in jax.tree.leaves(padding))


@pytest.mark.parametrize("name", OF_VECTORS)
def test_vectors_have_the_contracts_shapes_and_score_every_pair(name):
    model, ctx, params, _ = started(name)
    encoded = jax.jit(model.encode)(params, ctx)
    users = {"user_ids": jnp.array([3, 0, NUM_USERS - 1], jnp.int32), "mask": jnp.array([True, True, False])}
    user_vectors = jax.jit(model.user_vectors)
    vectors, items = user_vectors(encoded, users), model.item_vectors(encoded)
    assert vectors.ndim == 3
    assert vectors.shape[0] == 3
    assert items.vectors.shape == (NUM_ITEMS, vectors.shape[-1])
    assert items.bias.shape == (NUM_ITEMS,)
    scores = jnp.einsum("bkd,id->bki", vectors, items.vectors).max(1) + items.bias[None]
    assert jnp.isfinite(scores).all()
    assert scores.dtype == jnp.float32
    assert jnp.any(scores[0, 0] != scores[0])  # an item is not like the next
    one = user_vectors(encoded, {key: values[1:2] for key, values in users.items()})
    np.testing.assert_allclose(one[0], vectors[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_VECTORS])
def test_a_model_that_scores_by_itself_scores_every_pair_and_any_of_them(name):
    model, ctx, params, _ = started(name)
    encoded = jax.jit(model.encode)(params, ctx)
    users = {"user_ids": jnp.array([3, 0, NUM_USERS - 1], jnp.int32), "mask": jnp.array([True, True, False])}
    score = jax.jit(model.score)
    scores = score(encoded, users, None)
    assert scores.shape == (3, NUM_ITEMS)
    assert scores.dtype == jnp.float32
    assert jnp.isfinite(scores).all()
    assert jnp.any(scores[0, 0] != scores[0])
    some = jnp.array([[4, 4, 0], [NUM_ITEMS - 1, 2, 7], [1, 0, 5]], jnp.int32)
    np.testing.assert_allclose(score(encoded, users, some), jnp.take_along_axis(scores, some, 1), rtol=1e-6)
    one = score(encoded, {key: values[1:2] for key, values in users.items()}, None)
    np.testing.assert_allclose(one[0], scores[1], rtol=1e-5, atol=1e-6)
    assert model.score_floats(encoded) > 0


# MCLN has a BPR for each of its channels, which test_mcln holds against the vectors.
@pytest.mark.parametrize("name", [name for name in PAIRS if "dropout" not in name and "mcln" not in name])
def test_training_scores_are_the_evaluators_scores(name):
    """BPR of the batch from the vectors that rank, so that what is trained is what is ranked."""
    model, ctx, params, extra = started(name)
    (_, output), _ = compiled(name)(params, extra, batch(), ctx, jax.random.key(1))
    rows = batch()
    scores = np.asarray(block_scores(model, *encode(model, params, ctx), rows), np.float64)
    places = np.arange(13)
    difference = scores[places, rows["negative_item_ids"][:13]] - scores[places, rows["item_ids"][:13]]
    np.testing.assert_allclose(output.parts["bpr"], np.log1p(np.exp(difference)).mean(), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_state_is_the_state(name):
    _, ctx, params, extra = started(name)
    blank = jax.tree.map(jnp.zeros_like, (params, extra))
    loaded = flax.serialization.from_bytes(blank, flax.serialization.to_bytes((params, extra)))
    loaded = jax.tree.map(jnp.asarray, loaded)
    jax.tree.map(np.testing.assert_array_equal, loaded, (params, extra))
    arguments = (training_batch(SMALL[name]), ctx, jax.random.key(1))
    assert_close(compiled(name)(*loaded, *arguments), compiled(name)(params, extra, *arguments), 0)
