"""Tables by row on several devices: what a step tells the others, and that it learns what one device does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.bench.collectives import collective_bytes
from jaxrec.models.registry import build_model
from jaxrec.train.mesh import shardings
from jaxrec.train.sequence_input import over_devices
from jaxrec.train.state import abstract_state, first_state
from jaxrec.train.step import make_update
from tests.models.world import DIM, MAX_LENGTH, NUM_ITEMS, NUM_USERS, SMALL, context, mesh_of, training_batch

FAMILIES = ("bprmf_bias", "lightgcn", "weightedgcl", "polycf", "polycf_signal", "lmmrec", "mcln", "vbpr")
SEQUENCES = ("sasrec", "sasrec_prefix", "comirec", "m3bsr", "uim")


def longer(more):
    return lambda rows: jnp.pad(rows, [(0, more)] + [(0, 0)] * (rows.ndim - 1))


def step_of(name, mesh, num_items=NUM_ITEMS):
    """One compiled step with its state's shapes, and the context; items that nobody had behind the last."""
    config, ctx = SMALL[name], context(mesh)
    more = num_items - NUM_ITEMS
    if more:
        columns = ("item_counts", "item_features", "item_feature_masks", "item_fields")
        ctx = dataclasses.replace(ctx, **{name: jax.tree.map(longer(more), getattr(ctx, name)) for name in columns})
    # Plain gradient steps: Adam makes whole steps of gradients that are 0 but for rounding.
    model, optimizer = build_model(config, NUM_USERS, num_items), optax.sgd(0.1)
    abstract = abstract_state(model, optimizer, ctx, 0, config.partition_rules, mesh)
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    update = make_update(model, optimizer, 0)
    step = jax.jit(lambda state, batch, ctx: update(state, over_devices(batch, ctx), ctx), out_shardings=(places, None))
    first = jax.jit(lambda ctx: first_state(model, optimizer, ctx, 0), out_shardings=places)
    return step, abstract, first, ctx


def said(name, num_items):
    """Bytes by kind of the collectives in one step on eight devices, and how many parameters each of them has whole."""
    step, abstract, _, ctx = step_of(name, mesh_of(8, 1), num_items)
    compiled = step.lower(abstract, training_batch(SMALL[name]), ctx).compile()
    whole = sum(leaf.size for leaf in jax.tree.leaves(abstract.params) if leaf.sharding.is_fully_replicated)
    return collective_bytes(compiled.as_text()), whole


@pytest.mark.parametrize(
    "name",
    ["sasrec_prefix", pytest.param("comirec", marks=pytest.mark.slow), pytest.param("m3bsr", marks=pytest.mark.slow)],
)
def test_what_a_step_says_does_not_grow_with_the_table(name):
    (few, num_encoder), (many, _) = (
        said(name, 10 * NUM_ITEMS + 1),
        said(name, 20 * NUM_ITEMS + 1),
    )  # more items than the batch reads
    assert few == many
    if name == "sasrec_prefix":
        # 16 histories read and 16 states that predict: told once forward and once backward. Beside them ids, targets,
        # weights and masks; a maximum and two sums of each row; the gradient of what is whole; the number of targets.
        read, states, whole = 16 * MAX_LENGTH * DIM * 4, 16 * DIM * 4, 4 * num_encoder
        assert few == {
            "reduce-scatter": (read + states) // 8,
            "all-gather": read + states + 16 * MAX_LENGTH * 4 + 16 * (4 + 4 + 1),
            "all-reduce": whole + 3 * 16 * 4 + 4,
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES + SEQUENCES)
def test_one_two_and_eight_devices_have_the_same_losses(name):
    """Gradients are compared in tests/contract, away from first values, where a norm of nothing magnifies rounding."""

    def losses(mesh):
        step, _, first, ctx = step_of(name, mesh)
        state, found = first(ctx), []
        for _ in range(4):
            state, parts = step(state, training_batch(SMALL[name]), ctx)
            found.append(float(parts["loss"]))
        return found

    one = losses(None)
    assert len(set(one)) == 4
    for count in (2, 8):
        axes = (1, count) if SMALL[name].mesh_axis == "model" else (count, 1)
        np.testing.assert_allclose(losses(mesh_of(*axes)), one, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mcln", "uim", "vbpr"])
def test_eight_devices_rank_by_the_vectors_of_one(name):
    model = build_model(SMALL[name], NUM_USERS, NUM_ITEMS)
    params = jax.jit(lambda ctx: model.init(jax.random.key(0), ctx)[0])(context())

    def vectors(mesh):
        placed = jax.device_put(params, shardings(params, SMALL[name].partition_rules, mesh))
        return jax.jit(lambda params, ctx: model.item_vectors(model.encode(params, ctx)))(placed, context(mesh))

    axes = (1, 8) if SMALL[name].mesh_axis == "model" else (8, 1)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), vectors(mesh_of(*axes)), vectors(None)
    )
