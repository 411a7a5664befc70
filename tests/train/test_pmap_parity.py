"""The mesh against jax.pmap: the same steps of the same models, written the other way."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.bench.data_parallel_step import BATCHES, OURS, PMAP, run
from jaxrec.bench.pmap_loop import make_pmap_loop, on_every_device, shared_out
from jaxrec.bench.settings import Settings
from jaxrec.models.base import Context
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.registry import build_model
from jaxrec.nn.graph import build_graph
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh, replicate, shardings
from jaxrec.train.state import first_state
from jaxrec.train.step import make_block_loop
from tests.train.tiny import NUM_ITEMS, NUM_USERS, tiny_dataset

DEVICES, STEPS, BATCH = 4, 5, 32


def block():
    rng = np.random.default_rng(5)
    shape = STEPS, BATCH
    return {
        "user_ids": rng.integers(0, NUM_USERS, shape).astype(np.int32),
        "item_ids": rng.integers(0, NUM_ITEMS, shape).astype(np.int32),
        "negative_item_ids": rng.integers(0, NUM_ITEMS, shape).astype(np.int32),
        "mask": np.ones(shape, bool),
    }


@pytest.fixture(scope="module")
def lightgcn():
    train = tiny_dataset().train
    model = build_model(LightGCNConfig(dim=8, num_layers=2), NUM_USERS, NUM_ITEMS)
    graph = build_graph(train.user_ids, train.item_ids, NUM_USERS, NUM_ITEMS)
    return model, optax.adam(0.05), graph


def test_lightgcn_by_feature_equals_pmap_by_batch(lightgcn):
    """Features on four devices, in one whole batch, against four whole models of a quarter of the batch each."""
    model, optimizer, graph = lightgcn
    first = first_state(model, optimizer, Context(graph=graph), 7)

    mesh = make_mesh(DevicesConfig(count=DEVICES), "model")
    places = shardings(first, LightGCNConfig.partition_rules, mesh)
    ctx = replicate(Context(graph=graph, mesh=mesh), mesh)
    loop = jax.jit(make_block_loop(model, optimizer, 7), out_shardings=(places, None))
    state, progress = loop(
        jax.device_put(first, places), replicate(np.int32(STEPS), mesh), replicate(block(), mesh), ctx
    )
    assert {leaf.sharding.spec[-1] for leaf in jax.tree.leaves(state.params)} == {"model"}

    mapped = make_pmap_loop(model, optimizer)
    # Four of the eight devices: the leading axis says how many.
    copies, losses = mapped(
        on_every_device(first, DEVICES), shared_out(jax.tree.map(jnp.asarray, block()), DEVICES), Context(graph=graph)
    )
    assert losses.shape == (DEVICES, STEPS)
    np.testing.assert_array_equal(losses, np.broadcast_to(losses[0], losses.shape))
    np.testing.assert_allclose(progress.sums["loss"], losses[0].sum(), rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(copies), strict=True):
        assert theirs.shape == (DEVICES, *ours.shape)
        for copy in theirs:
            np.testing.assert_allclose(copy, ours, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_are_shared_out_in_order():
    shared = shared_out({"mask": jnp.arange(2 * 6).reshape(2, 6)}, 3)["mask"]
    np.testing.assert_array_equal(shared, [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]])


def test_the_benchmark_of_all_forms_holds_and_counts_what_devices_tell_each_other():
    entry = run(Settings(repeats=1, scale="small"))
    assert entry["devices"] == 8
    assert entry["checks"] == {"losses_equal": True, "tables_equal": True}
    told = {name: program["collective_bytes"] for name, program in entry["programs"].items()}
    # The gradients of both tables and one loss; by feature, one number for each row of the batch and two losses.
    assert told[PMAP] == 4 * ((300 + 400) * 16 + 1)
    assert told[BATCHES] >= told[PMAP]
    assert told[OURS] == 4 * (64 + 1)
