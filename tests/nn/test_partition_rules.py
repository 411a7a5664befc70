"""Where each family's parameters lie, and with them their optimiser's moments and a teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.models.registry import build_model
from jaxrec.nn.partition_rules import (
    ALL_FEATURES,
    BY_VOCABULARY,
    FEATURES,
    MULTIMODAL_BY_VOCABULARY,
    ROW_NUMBERS,
    ROWS,
    pad_rows,
)
from jaxrec.nn.sharded_embedding import batch_rows, table_rows
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.mesh import shardings
from jaxrec.train.state import abstract_state
from tests.models.world import NUM_ITEMS, NUM_USERS, SMALL, context, mesh_of

# What lies apart; all else is whole on every device. 18 items and 24 users: 24 rows of items on eight devices.
LYING = {
    "bprmf_bias": {"users/embedding": FEATURES, "items/embedding": FEATURES},
    "vbpr": {"users/embedding": FEATURES, "items/embedding": FEATURES},
    "lightgcn": {"nodes/embedding": FEATURES},
    "weightedgcl": {"nodes/embedding": FEATURES},
    "polycf": {"nodes/embedding": FEATURES},
    "polycf_signal": {},
    "lmmrec": {"base/nodes/embedding": FEATURES},
    "mcln": {"nodes/embedding": FEATURES},
    "uim": {"items/nodes/embedding": ALL_FEATURES},
    "sasrec": {"items/embedding": ROWS},
    "comirec": {"items/embedding": ROWS},
    "m3bsr": {
        "output/embedding": ROWS,
        "output/bias": ROW_NUMBERS,
        "items/embedding": ROWS,
        "items/brand_embedding": ROWS,
        "network/ids/user_embedding": ROWS,
    },
}
WHOLE = (None, jax.sharding.PartitionSpec())


def specs(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    found = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.sharding.spec for path, leaf in leaves}
    return {name: spec for name, spec in found.items() if spec not in WHOLE}


@pytest.mark.parametrize("name", sorted(LYING))
def test_moments_and_teachers_lie_as_their_parameters_do(name):
    config, mesh = SMALL[name], mesh_of(4, 2)
    model = build_model(config, NUM_USERS, NUM_ITEMS)
    state = abstract_state(model, optax.adam(1e-3), context(mesh), 0, config.partition_rules, mesh)
    expected = LYING[name]
    assert specs(state.params) == expected
    assert specs(state.opt_state[0].mu) == specs(state.opt_state[0].nu) == expected
    extra = specs(state.extra)
    # A teacher copies some parameters, and its paths end as theirs do.
    assert all(any(path.endswith(own) and spec == expected[own] for own in expected) for path, spec in extra.items())


def small_table(rows=18, dim=4):
    return jnp.asarray(np.random.default_rng(0).normal(size=(rows, dim)), jnp.float32)


def test_only_tables_by_row_get_rows_and_only_where_devices_need_them():
    params = {
        "items": {"embedding": small_table()},
        "output": {"bias": jnp.ones(18)},
        "nodes": {"embedding": small_table()},
    }
    assert pad_rows(params, MULTIMODAL_BY_VOCABULARY, None) is params
    padded = pad_rows(params, MULTIMODAL_BY_VOCABULARY, mesh_of(4, 2))
    assert padded["items"]["embedding"].shape == (24, 4)
    np.testing.assert_array_equal(padded["items"]["embedding"][:18], params["items"]["embedding"])
    assert not padded["items"]["embedding"][18:].any()
    assert padded["output"]["bias"].shape == (24,)
    assert padded["nodes"]["embedding"].shape == (18, 4)
    assert pad_rows(params, BY_VOCABULARY, mesh_of(2, 1))["items"]["embedding"].shape == (18, 4)


@pytest.mark.parametrize("axes", [(8, 1), (4, 2), (1, 2)])
def test_rows_and_their_gradient_are_those_of_the_whole_table_to_the_last_bit(axes):
    mesh, table = mesh_of(*axes), small_table(24)
    ids = jnp.asarray(np.random.default_rng(1).integers(0, 24, (8, 3)), jnp.int32).at[:, 0].set(5)
    slopes = jnp.asarray(np.random.default_rng(2).integers(-4, 5, (8, 3, 4)), jnp.float32)  # sums in any order
    shared = jax.device_put(
        table, shardings({"items": {"embedding": table}}, BY_VOCABULARY, mesh)["items"]["embedding"]
    )

    def loss(table, rows, mesh):
        found = rows(table, ids, mesh)
        return (found * slopes).sum(), found

    expected = jax.grad(loss, has_aux=True)(table, table_rows, None)
    for rows in (table_rows, batch_rows):
        gradient, found = jax.jit(jax.grad(lambda t, rows=rows: loss(t, rows, mesh), has_aux=True))(shared)
        np.testing.assert_array_equal(found, expected[1])
        np.testing.assert_array_equal(gradient, expected[0])
        assert gradient.sharding.shard_shape(gradient.shape)[0] == 24 // mesh.size


def test_numbers_of_rows_are_looked_up_alike():
    mesh, numbers = mesh_of(8, 1), jnp.arange(16.0)
    shared = jax.device_put(numbers, jax.sharding.NamedSharding(mesh, ROW_NUMBERS))
    ids = jnp.asarray([[3, 15], [0, 8]], jnp.int32)
    np.testing.assert_array_equal(batch_rows(shared, ids, mesh), [[3, 15], [0, 8]])


def test_a_checkpoint_of_eight_devices_is_one_of_three_and_of_one(tmp_path):
    def of(mesh):
        params = pad_rows({"items": {"embedding": small_table()}}, BY_VOCABULARY, mesh)
        places = shardings(params, BY_VOCABULARY, mesh)
        placed = jax.device_put(params, places)
        return placed, jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), placed
        )

    checkpoints = Checkpoints(tmp_path)
    state, _ = of(mesh_of(8, 1))
    for step, mesh in enumerate((mesh_of(3, 1), None, mesh_of(4, 1), mesh_of(8, 1)), start=1):
        checkpoints.save(step, state, {"stopping": {"best_step": step}}, step)
        expected, abstract = of(mesh)
        state = checkpoints.restore(step, abstract).state
        jax.tree.map(np.testing.assert_array_equal, state, expected)
        assert state["items"]["embedding"].sharding == expected["items"]["embedding"].sharding
    wider = {"items": {"embedding": jax.ShapeDtypeStruct((24, 5), jnp.float32)}}
    with pytest.raises(ValueError, match=r"items/embedding is of shape \(18, 4\), not \(24, 5\)|\(20, 4\), not"):
        checkpoints.restore(4, wider)
