"""Models whose tables lie by row over eight devices rank as on one, and no device is told a table."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxrec.bench.collectives import collective_bytes
from jaxrec.bench.scaling.full_ranking import full_ranking_messages
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.item_share import SharesOf
from jaxrec.eval.ranking import FullRanking
from jaxrec.eval.sampled_ranking import SampledRanking
from jaxrec.models.registry import build_model
from jaxrec.nn.partition_rules import pad_rows
from jaxrec.train.mesh import shardings
from tests.eval.given import build_dataset
from tests.models.test_shared_tables import longer
from tests.models.world import DIM, MAX_LENGTH, NUM_ITEMS, NUM_USERS, SMALL, context, mesh_of

CONFIGS = {name: SMALL[name] for name in ("bprmf_bias", "lightgcn", "mcln", "sasrec", "comirec", "m3bsr", "uim")} | {
    "uim_fusion": dataclasses.replace(SMALL["uim"], backbone="fusion")
}
EVAL = EvalConfig(k=(1, 5, 10), save_topk=12)


@pytest.fixture(autouse=True)
def too_large_for_a_device(monkeypatch):
    """The small tables of these tests are none that a device holds whole."""
    monkeypatch.setattr("jaxrec.eval.item_share.tables_fit", lambda *args: False)


def ready(name, mesh, num_items):
    """The model, its parameters where they belong on the mesh, and the context."""
    config, more = CONFIGS[name], num_items - NUM_ITEMS
    ctx = context(mesh)
    columns = ("item_counts", "item_features", "item_feature_masks", "item_fields")
    ctx = dataclasses.replace(ctx, **{name: jax.tree.map(longer(more), getattr(ctx, name)) for name in columns})
    model = build_model(config, NUM_USERS, num_items)
    alone = dataclasses.replace(ctx, mesh=None)
    params = jax.jit(lambda ctx: model.init(jax.random.key(0), ctx)[0])(alone)
    params = pad_rows(params, config.partition_rules, mesh)
    return model, jax.device_put(params, shardings(params, config.partition_rules, mesh)), ctx


def dataset(num_items):
    rng = np.random.default_rng(11)

    def pairs(each):
        return [(user, item) for user in range(NUM_USERS) for item in rng.choice(num_items, each, replace=False)]

    return build_dataset(NUM_USERS, num_items, (pairs(4), [], pairs(1)))


@pytest.mark.parametrize(
    "name",
    [
        "lightgcn",
        "sasrec",
        "uim_fusion",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("bprmf_bias", "mcln", "comirec", "m3bsr", "uim")),
    ],
)
def test_eight_devices_rank_as_one(name):
    of_graph = name in ("lightgcn", "mcln", "uim")  # which has no more items
    num_items = NUM_ITEMS if of_graph else 10 * NUM_ITEMS + 1
    axes = (1, 8) if CONFIGS[name].mesh_axis == "model" else (8, 1)
    data = dataset(num_items)
    for ranking in (FullRanking, *((SampledRanking,) if num_items > 100 else ())):
        found = []
        for mesh in (None, mesh_of(*axes)):
            one = ranking(data, "test", EVAL, mesh)
            evaluation = one.evaluate(*ready(name, mesh, num_items), lists=True)
            if ranking is FullRanking:
                ((_, shared),) = one._blocks
                assert shared == (mesh is not None)
            found.append(evaluation)
        jax.tree.map(np.testing.assert_array_equal, found[1].per_user, found[0].per_user)
        np.testing.assert_array_equal(found[1].topk_items, found[0].topk_items)


@pytest.mark.parametrize("name", ["sasrec", *(pytest.param(n, marks=pytest.mark.slow) for n in ("comirec", "m3bsr"))])
def test_what_ranking_says_does_not_grow_with_the_table(name, monkeypatch):
    few, many = (said(name, num_items, False, monkeypatch) for num_items in (20 * NUM_ITEMS + 1, 40 * NUM_ITEMS + 1))
    assert few == many
    assert sum(few.values()) > 0


@pytest.mark.parametrize("lists", [False, True])
def test_what_ranking_says_is_what_the_formula_says(lists, monkeypatch):
    """docs/scaling.md, of a table by item and of tables by feature."""
    num_items, top = 20 * NUM_ITEMS + 1, 12 if lists else 0
    by_item = full_ranking_messages(16, DIM, 8, read=16 * MAX_LENGTH, top=top)
    by_feature = full_ranking_messages(16, DIM, 8, num_items=num_items + -num_items % 8, top=top)
    assert sum(said("sasrec", num_items, lists, monkeypatch).values()) == sum(by_item.values())
    assert sum(said("bprmf_bias", num_items, lists, monkeypatch).values()) == sum(by_feature.values())
    assert full_ranking_messages(16, DIM, 1, read=80, top=top) == {}


def said(name, num_items, lists, monkeypatch):
    """Bytes by kind of the collectives that rank blocks of 16 users on eight devices."""
    monkeypatch.setattr("jaxrec.eval.ranking.block_size", lambda *args: 2)
    mesh = mesh_of(1, 8) if CONFIGS[name].mesh_axis == "model" else mesh_of(8, 1)
    model, params, ctx = ready(name, mesh, num_items)
    ranking = FullRanking(dataset(num_items), "test", EVAL, mesh)
    _, blocks = ranking._blocks_for(1, shared=True)
    program = jax.jit(ranking._share_ranker(SharesOf(model, mesh), lists))
    return collective_bytes(program.lower(params, ctx, ranking._lists, blocks).compile().as_text())
