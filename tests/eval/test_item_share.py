"""A catalogue that no device holds whole is ranked as one that is whole, ties and all."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from jaxrec.eval.sampled_ranking import SampledRanking
from tests.eval.given import GivenVectors, random_dataset, random_params


@pytest.fixture(autouse=True)
def too_large_for_a_device(monkeypatch):
    """The small tables of these tests are none that a device holds whole."""
    monkeypatch.setattr("jaxrec.eval.item_share.tables_fit", lambda *args: False)


@pytest.fixture
def mesh():
    return jax.sharding.Mesh(np.asarray(jax.devices()).reshape(4, 2), ("data", "model"))


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize(("num_items", "num_interests", "levels"), [(90, 1, None), (90, 3, 2), (723, 2, 3), (90, 1, 1)])
def test_shares_rank_as_the_whole(rng, ctx, mesh, num_items, num_interests, levels, lists):
    dataset = random_dataset(rng, num_items=num_items)
    params = random_params(rng, dataset, num_interests, levels=levels)
    config = EvalConfig(k=(1, 5, 20), save_topk=30)
    expected = FullRanking(dataset, "test", config).evaluate(GivenVectors(), params, ctx, lists=lists)
    ranking = FullRanking(dataset, "test", config, mesh)
    actual = ranking.evaluate(GivenVectors(), params, dataclasses.replace(ctx, mesh=mesh), lists=lists)
    ((_, shared),) = ranking._blocks
    assert shared
    jax.tree.map(np.testing.assert_array_equal, actual.per_user, expected.per_user)
    np.testing.assert_array_equal(actual.topk_items, expected.topk_items)
    if lists:
        np.testing.assert_allclose(actual.topk_scores, expected.topk_scores, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_the_size_of_blocks_changes_nothing(rng, ctx, mesh, size, monkeypatch):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset, 2, levels=3)
    expected = FullRanking(dataset, "test", EvalConfig()).evaluate(GivenVectors(), params, ctx, lists=True)
    monkeypatch.setattr("jaxrec.eval.ranking.block_size", lambda *args: size)
    ranking = FullRanking(dataset, "test", EvalConfig(), mesh)
    actual = ranking.evaluate(GivenVectors(), params, dataclasses.replace(ctx, mesh=mesh), lists=True)
    jax.tree.map(np.testing.assert_array_equal, actual.per_user, expected.per_user)
    np.testing.assert_array_equal(actual.topk_items, expected.topk_items)


def test_what_is_no_number_ranks_as_in_the_whole(rng, ctx, mesh):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset, 1)
    bias = np.asarray(params["bias"]).copy()
    bias[[3, 40]], bias[[7, 80]], bias[[11, 60]] = np.nan, np.inf, -np.inf
    params = params | {"bias": bias}
    expected = FullRanking(dataset, "test", EvalConfig()).evaluate(GivenVectors(), params, ctx)
    ranking = FullRanking(dataset, "test", EvalConfig(), mesh)
    actual = ranking.evaluate(GivenVectors(), params, dataclasses.replace(ctx, mesh=mesh))
    jax.tree.map(np.testing.assert_array_equal, actual.per_user, expected.per_user)


@pytest.mark.parametrize("levels", [None, 2])
def test_sampled_candidates_rank_as_in_the_whole(rng, ctx, mesh, levels):
    dataset = random_dataset(rng, num_users=70, num_items=300, single_target=True)
    params = random_params(rng, dataset, 2, levels=levels)
    config = EvalConfig(k=(1, 5, 20))
    expected = SampledRanking(dataset, "test", config).evaluate(GivenVectors(), params, ctx)
    ranking = SampledRanking(dataset, "test", config, mesh)
    actual = ranking.evaluate(GivenVectors(), params, dataclasses.replace(ctx, mesh=mesh))
    jax.tree.map(np.testing.assert_array_equal, actual.per_user, expected.per_user)


def test_tables_within_the_budget_are_put_on_every_device(rng, ctx, mesh, monkeypatch):
    monkeypatch.undo()
    dataset = random_dataset(rng, num_items=9000)
    params = random_params(rng, dataset, 1, dim=32)  # 1.1 MiB of items, as parameters and as vectors
    for budget, whole in ((2, False), (3, True)):
        ranking = FullRanking(dataset, "test", EvalConfig(memory_budget_mb=budget), mesh)
        ranking.evaluate(GivenVectors(), params, dataclasses.replace(ctx, mesh=mesh))
        ((_, shared),) = ranking._blocks
        assert shared != whole
