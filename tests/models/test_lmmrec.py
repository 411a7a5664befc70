"""LMMRec against its equations: values part by part, the gradient, the teacher, the ablations, what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCN
from jaxrec.models.lmmrec import CoordinationConfig, CorrespondenceConfig, LMMRec, LMMRecConfig
from jaxrec.train.mesh import shardings
from tests.models.reference import as_float64, loss_parts, tower
from tests.models.world import LMMREC, NUM_ITEMS, NUM_USERS, TEXT_DIM, batch, context, mesh_of

RNG = jax.random.key(1)
# Temperatures that differ, so that exchanging them shows.
CONFIGS = {
    source: dataclasses.replace(
        LMMREC,
        text_source=source,
        correspondence=dataclasses.replace(LMMREC.correspondence, student_temperature=0.3, teacher_temperature=0.5),
    )
    for source in ("text", "learned")
}


def moved(tree, seed, scale=0.3):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noise = [scale * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, [leaf + n for leaf, n in zip(leaves, noise, strict=True)])


def started(config):
    """A model in the middle of its training: the teacher is no longer the student."""
    model, ctx = LMMRec(config, NUM_USERS, NUM_ITEMS), context()
    params, extra = model.init(jax.random.key(0), ctx)
    return model, ctx, moved(params, 1), {"teacher": moved(extra["teacher"], 2)}


def repeated_batch():
    """The shared batch, with a user and an item that stand in it several times."""
    rows = batch()
    return rows | {
        "user_ids": rows["user_ids"].at[jnp.array([2, 3, 6])].set(4),
        "item_ids": rows["item_ids"].at[jnp.array([1, 8])].set(9),
        "negative_item_ids": rows["negative_item_ids"].at[jnp.array([0, 4, 5, 14])].set(11),
    }


def expected_teacher(params, extra, momentum):
    return jax.tree.map(lambda slow, fast: momentum * slow + (1 - momentum) * fast, extra["teacher"], params)


@pytest.mark.parametrize("source", ["text", "learned"])
def test_every_part_equals_the_equations(source):
    config = CONFIGS[source]
    model, ctx, params, extra = started(config)
    output = jax.jit(model.loss)(params, extra, repeated_batch(), ctx, RNG)
    old, new = as_float64((params, extra)), as_float64(output.extra["teacher"])
    expected = loss_parts(old[0], new, repeated_batch(), ctx, config)
    assert set(output.parts) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(output.parts[name], value, rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(output.total, sum(expected.values()), rtol=2e-5)
    # theta' <- m theta' + (1 - m) theta, before the teacher teaches.
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6),
        output.extra["teacher"],
        expected_teacher(*old, config.correspondence.momentum),
    )


@pytest.mark.parametrize("source", ["text", "learned"])
def test_gradient_is_the_slope_of_the_equations(source):
    """Central differences of the float64 reference over a dense adjacency, the teacher held where it is."""
    config = CONFIGS[source]
    model, ctx, params, extra = started(config)
    objective = jax.jit(jax.grad(lambda p: model.loss(p, extra, repeated_batch(), ctx, RNG).total))
    gradient = as_float64(objective(params))
    start, teacher = as_float64(params), expected_teacher(*as_float64((params, extra)), config.correspondence.momentum)
    leaves, structure = jax.tree.flatten(start)
    rng = np.random.default_rng(0)
    for index, leaf in enumerate(leaves):
        direction = rng.normal(size=leaf.shape)
        direction /= np.linalg.norm(direction)
        values = []
        for step in (1e-5, -1e-5):
            there = [*leaves[:index], leaf + step * direction, *leaves[index + 1 :]]
            parts = loss_parts(jax.tree.unflatten(structure, there), teacher, repeated_batch(), ctx, config)
            values.append(sum(parts.values()))
        slope = (values[0] - values[1]) / 2e-5
        got = (jax.tree.leaves(gradient)[index] * direction).sum()
        np.testing.assert_allclose(got, slope, rtol=1e-4, atol=1e-6 * np.linalg.norm(jax.tree.leaves(gradient)[index]))


def test_text_tower_of_a_row_is_equation_3():
    model, ctx, params, _ = started(LMMREC)
    kernel = params["text_tower"]["hidden"]["kernel"]
    assert kernel.shape == (TEXT_DIM, (TEXT_DIM + LMMREC.dim) // 2)
    _, text = model._views(params, jnp.ones((3, 1, 1, LMMREC.dim)), ctx.item_text[None, 4:5])
    expected = tower(as_float64(params["text_tower"]), np.asarray(ctx.item_text[4], np.float64))
    np.testing.assert_allclose(text[0, 0], expected / np.linalg.norm(expected), rtol=1e-5)


def test_a_teacher_equal_to_its_student_has_nothing_to_teach():
    config = dataclasses.replace(LMMREC, base=dataclasses.replace(LMMREC.base, edge_dropout=0.3))
    model, ctx = LMMRec(config, NUM_USERS, NUM_ITEMS), context()
    params, _ = model.init(jax.random.key(0), ctx)
    params = moved(params, 1)

    @jax.jit
    def compare(params, teacher):
        def correspondence(params, teacher):
            return model.loss(params, {"teacher": teacher}, batch(), ctx, RNG).parts["correspondence"]

        return jax.value_and_grad(correspondence, argnums=(0, 1))(params, teacher)

    value, (gradient, _) = compare(params, params)
    assert jnp.abs(value) < 1e-6
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-6
    value, (gradient, by_teacher) = compare(params, moved(params, 5))
    assert value > 1e-3
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) > 1e-3
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(by_teacher))


def test_moving_the_teacher_first_equals_moving_it_after_the_optimiser():
    model, ctx = LMMRec(LMMREC, NUM_USERS, NUM_ITEMS), context()
    params, extra = model.init(jax.random.key(0), ctx)

    @jax.jit
    def step(params, extra):
        gradient, extra = jax.grad(
            lambda p: (lambda output: (output.total, output.extra))(model.loss(p, extra, batch(), ctx, RNG)),
            has_aux=True,
        )(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), extra

    behind = params  # a teacher moved after each step of the optimiser; at first it is its student
    for _ in range(3):
        params, extra = step(params, extra)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), extra["teacher"], behind)
        behind = expected_teacher(params, {"teacher": behind}, LMMREC.correspondence.momentum)


def test_literal_total_differs_by_the_base_loss():
    """Eq. 10 as printed has no recommendation loss: with it, the total differs by exactly that."""
    model, ctx, params, extra = started(LMMREC)
    output = jax.jit(model.loss)(params, extra, batch(), ctx, RNG)
    base = jax.jit(model.base.loss)(params["base"], {}, batch(), ctx, RNG)
    literal = output.parts["coordination"] + output.parts["correspondence"] + output.parts["norm"]
    np.testing.assert_allclose(output.total - literal, base.total, rtol=1e-5)


def test_a_part_of_weight_zero_is_left_out_and_the_rest_stays():
    model, ctx, params, extra = started(LMMREC)
    whole = jax.jit(model.loss)(params, extra, batch(), ctx, RNG).parts
    without = dataclasses.replace(LMMREC, coordination=CoordinationConfig(weight=0))
    parts = jax.jit(LMMRec(without, NUM_USERS, NUM_ITEMS).loss)(params, extra, batch(), ctx, RNG).parts
    assert set(whole) - set(parts) == {"coordination"}
    without = dataclasses.replace(LMMREC, correspondence=CorrespondenceConfig(weight=0))
    small = LMMRec(without, NUM_USERS, NUM_ITEMS)
    assert small.init(jax.random.key(0), ctx)[1] == {}
    output = jax.jit(small.loss)(params, {}, batch(), ctx, RNG)
    assert output.extra == {}
    assert set(whole) - set(output.parts) == {"correspondence"}
    np.testing.assert_allclose(output.parts["coordination"], whole["coordination"], rtol=1e-6)


def test_rows_without_text_reach_neither_alignment_loss():
    model, ctx, params, extra = started(LMMREC)
    changed = ctx.replace(
        user_text=ctx.user_text.at[jnp.array([1, 5])].set(1e6), item_text=ctx.item_text.at[jnp.array([0, 7])].set(-9.0)
    )
    rows = batch() | {"item_ids": batch()["item_ids"].at[:4].set(jnp.array([0, 7, 0, 7]))}
    objective = jax.jit(jax.value_and_grad(lambda p, c: model.loss(p, extra, rows, c, RNG).total))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7),
        objective(params, ctx),
        objective(params, changed),
    )
    nobody = ctx.replace(user_text_mask=jnp.zeros(NUM_USERS, bool), item_text_mask=jnp.zeros(NUM_ITEMS, bool))
    parts = jax.jit(model.loss)(params, extra, rows, nobody, RNG).parts
    assert parts["coordination"] == 0
    assert parts["correspondence"] == 0


def test_scores_are_the_bases_and_text_is_not_read_for_them():
    model, ctx, params, _ = started(LMMREC)
    base = LightGCN(LMMREC.base, NUM_USERS, NUM_ITEMS)
    bare = ctx.replace(user_text=None, item_text=None, user_text_mask=None, item_text_mask=None)
    for mine, its in zip(model.encode(params, bare), base.encode(params["base"], bare), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("size", [16, 15])
def test_one_exchange_of_rows_on_eight_devices(size):
    """Collectives are counted in the compiled step: they do not grow with the number of terms in the loss."""
    model, _, params, extra = started(LMMREC)
    mesh = mesh_of(1, 8)
    placed = jax.device_put((params, extra), shardings((params, extra), LMMREC.partition_rules, mesh))
    grad = jax.jit(jax.grad(lambda p, e, b, c: model.loss(p, e, b, c, RNG).total))
    program = grad.lower(*placed, batch(size, 13), context(mesh)).compile()
    kinds = ("all-to-all(", "all-gather(", "all-reduce(", "reduce-scatter(", "collective-permute(")
    assert sum(program.as_text().count(f" {kind}") for kind in kinds) <= 8
    expected = jax.jit(jax.grad(lambda p, e: model.loss(p, e, batch(size, 13), context(), RNG).total))(params, extra)
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, atol=1e-5 * max(1.0, float(jnp.abs(e).max()))),
        grad(*placed, batch(size, 13), context(mesh)),
        expected,
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_prototypes": 0}, "model.num_prototypes: found 0"),
        ({"coordination": CoordinationConfig(temperature=0.0)}, "model.coordination.temperature: found 0.0"),
        ({"coordination": CoordinationConfig(weight=-1.0)}, "model.coordination.weight: found -1.0"),
        (
            {"correspondence": CorrespondenceConfig(teacher_temperature=-1.0)},
            "model.correspondence.teacher_temperature",
        ),
        ({"correspondence": CorrespondenceConfig(momentum=1.5)}, "model.correspondence.momentum: found 1.5"),
        ({"base": dataclasses.replace(LMMREC.base, num_layers=0)}, "model.base.num_layers: found 0"),
    ],
)
def test_impossible_settings_are_refused_by_field(change, field):
    LMMRecConfig().validate()
    with pytest.raises(UserError) as caught:
        dataclasses.replace(LMMREC, **change).validate()
    assert field in str(caught.value)
    assert "allowed" in str(caught.value)


def test_what_is_read_follows_the_text_source():
    assert LMMRecConfig().needs_text
    assert LMMRecConfig(text_source="auto").needs_text
    assert not LMMRecConfig(text_source="learned").needs_text
    model = LMMRec(CONFIGS["learned"], NUM_USERS, NUM_ITEMS)
    bare = context().replace(user_text=None, item_text=None, user_text_mask=None, item_text_mask=None)
    params, extra = model.init(jax.random.key(0), bare)
    assert params["text"]["embedding"].shape == (NUM_USERS + NUM_ITEMS, LMMREC.dim)
    assert jnp.isfinite(jax.jit(model.loss)(params, extra, batch(), bare, RNG).total)
