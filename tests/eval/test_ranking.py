"""FullRanking against a plain NumPy ranking, and the rules that it must keep."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.blocks import block_size, user_blocks
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from jaxrec.eval.references import random_reference
from jaxrec.eval.scoring import floats_per_user
from jaxrec.eval.users import ranked_users
from tests.eval.given import GivenScores, GivenVectors, build_dataset, random_dataset, random_params


def naive_lists(dataset, params, part, mask_valid=True):
    """(user, targets, full ranked candidate list, scores) by a plain sort; targets last among equals."""
    scores = np.max(np.einsum("ukd,id->uki", params["user"], params["item"]), 1) + np.asarray(params["bias"])
    seen_parts = [dataset.train] + ([dataset.valid] if part == "test" and mask_valid else [])
    out = []
    for user in range(dataset.num_users):
        held = getattr(dataset, part)
        targets = set(held.item_ids[held.user_ids == user].tolist())
        if not targets:
            continue
        seen = {i for p in seen_parts for i in p.item_ids[p.user_ids == user].tolist()} - targets
        candidates = [i for i in range(dataset.num_items) if i not in seen]
        candidates.sort(key=lambda i: (-scores[user, i], i in targets, i))
        out.append((user, targets, candidates, scores[user]))
    return out


def naive_metrics(dataset, params, part, ks, mask_valid=True):
    """Metrics from the sorted lists, written out one user at a time."""
    rows = {}
    for _user, targets, candidates, _scores in naive_lists(dataset, params, part, mask_valid):
        for k in ks:
            relevant = [item in targets for item in candidates[:k]]
            gain = sum(r / np.log2(p + 2) for p, r in enumerate(relevant))
            ideal = sum(1 / np.log2(p + 2) for p in range(min(k, len(targets))))
            first = next((p + 1 for p, r in enumerate(relevant) if r), None)
            average = sum(sum(relevant[: p + 1]) / (p + 1) for p, r in enumerate(relevant) if r)
            values = {
                "recall": sum(relevant) / len(targets),
                "hit": float(any(relevant)),
                "ndcg": gain / ideal,
                "precision": sum(relevant) / k,
                "mrr": 1 / first if first else 0.0,
                "map": average / len(targets),
            }
            for name, value in values.items():
                rows.setdefault(f"{name}@{k}", []).append(value)
    return rows


def assert_same(evaluation, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(evaluation.per_user[name], values, atol=1e-12, err_msg=name)
        assert evaluation.metrics[name] == pytest.approx(np.mean(values))


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize(("num_interests", "levels"), [(1, None), (3, None), (1, 1), (2, 2)])
def test_equals_a_plain_sort(rng, model, ctx, part, num_interests, levels):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset, num_interests, levels=levels)
    config = EvalConfig(k=(1, 5, 20))
    evaluation = FullRanking(dataset, part, config).evaluate(model, params, ctx)
    assert_same(evaluation, naive_metrics(dataset, params, part, config.k))
    held = getattr(dataset, part)
    assert evaluation.user_ids.tolist() == sorted(set(held.user_ids.tolist()))
    assert evaluation.num_users + evaluation.num_users_without_target == dataset.num_users
    assert evaluation.num_users_without_target > 0
    assert evaluation.masked == (("train",) if part == "valid" else ("train", "valid"))


def test_valid_items_are_candidates_where_told(rng, model, ctx):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset)
    config = EvalConfig(k=(10,), mask_valid_at_test=False)
    evaluation = FullRanking(dataset, "test", config).evaluate(model, params, ctx)
    assert_same(evaluation, naive_metrics(dataset, params, "test", config.k, mask_valid=False))
    assert evaluation.masked == ("train",)


@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize("num_items", [90, 700])
def test_lists_are_exact_and_agree_with_the_ranks(rng, model, ctx, levels, num_items):
    dataset = random_dataset(rng, num_items=num_items)
    params = random_params(rng, dataset, levels=levels)
    config = EvalConfig(k=(2, 5), save_topk=7)
    ranking = FullRanking(dataset, "test", config)
    evaluation = ranking.evaluate(model, params, ctx, lists=True)
    assert_same(evaluation, naive_metrics(dataset, params, "test", config.k))
    assert evaluation.topk_items is not None
    assert evaluation.topk_scores is not None
    assert evaluation.topk_items.shape == (evaluation.num_users, 7)
    for row, (_, targets, candidates, scores) in enumerate(naive_lists(dataset, params, "test")):
        best = sorted(candidates, key=lambda i: (-scores[i], i))[:7]
        np.testing.assert_allclose(evaluation.topk_scores[row], scores[best], rtol=1e-5, atol=1e-5)
        assert evaluation.topk_items[row].tolist() == best
        if levels is None:
            found = sum(item in targets for item in best[:5])
            assert evaluation.per_user["recall@5"][row] == found / len(targets)
    shown = len(np.unique(evaluation.topk_items[:, :5]))
    assert evaluation.metrics["coverage@5"] == shown / num_items


def test_lists_end_where_candidates_do(model, ctx):
    dataset = build_dataset(2, 5, ([(0, 0), (0, 1), (0, 2)], [], [(0, 3), (1, 4)]))
    params = random_params(np.random.default_rng(0), dataset)
    evaluation = FullRanking(dataset, "test", EvalConfig(k=(1,), save_topk=5)).evaluate(model, params, ctx, lists=True)
    assert evaluation.topk_items is not None
    assert sorted(evaluation.topk_items[0].tolist()) == [-1, -1, -1, 3, 4]
    assert sorted(evaluation.topk_items[1].tolist()) == [0, 1, 2, 3, 4]


def test_a_seen_target_stays_a_target(model, ctx):
    dataset = build_dataset(1, 4, ([(0, 0), (0, 1), (0, 1)], [(0, 0)], [(0, 0), (0, 0)]))
    params = {"user": jnp.ones((1, 1, 1)), "item": jnp.asarray([[3.0], [4.0], [1.0], [2.0]]), "bias": jnp.zeros(4)}
    evaluation = FullRanking(dataset, "test", EvalConfig(k=(1, 2))).evaluate(model, params, ctx)
    assert evaluation.metrics["ndcg@1"] == 1.0
    assert evaluation.metrics["recall@1"] == 1.0


@pytest.mark.parametrize("value", [0.0, 3.5, np.nan, np.inf, -np.inf])
def test_a_constant_scorer_is_never_above_chance(rng, model, ctx, value):
    dataset = random_dataset(rng)
    config = EvalConfig(k=(5, 20, 80, 90))
    params = {
        "user": jnp.zeros((dataset.num_users, 1, 2)),
        "item": jnp.zeros((dataset.num_items, 2)),
        "bias": jnp.full(dataset.num_items, value, jnp.float32),
    }
    ranking = FullRanking(dataset, "test", config)
    evaluation = ranking.evaluate(model, params, ctx)
    chance = random_reference(ranking)
    for name, value in evaluation.metrics.items():
        assert value <= chance[name] + 1e-12, name
    assert evaluation.metrics["hit@5"] == 0


@pytest.mark.parametrize("target_value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_earns_nothing(model, ctx, target_value):
    dataset = build_dataset(1, 4, ([(0, 1)], [], [(0, 0), (0, 2)]))
    bias = jnp.asarray([target_value, 0.0, 2.0, 1.0])
    params = {"user": jnp.zeros((1, 1, 1)), "item": jnp.zeros((4, 1)), "bias": bias}
    evaluation = FullRanking(dataset, "test", EvalConfig(k=(1, 2, 3))).evaluate(model, params, ctx)
    assert evaluation.metrics["recall@3"] == 0.5


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize(("num_items", "levels"), [(90, 2), (700, 2)])
def test_a_model_that_scores_by_itself_ranks_as_its_vectors_would(rng, ctx, num_items, levels, lists):
    dataset = random_dataset(rng, num_items=num_items)
    params = random_params(rng, dataset, 2, levels=levels)
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()).reshape(4, 2), ("data", "model"))
    expected = FullRanking(dataset, "test", EvalConfig()).evaluate(GivenVectors(), params, ctx, lists=lists)
    for devices in (None, mesh):
        ranking = FullRanking(dataset, "test", EvalConfig(), devices)
        actual = ranking.evaluate(GivenScores(), params, ctx, lists=lists)
        jax.tree.map(np.testing.assert_array_equal, actual.per_user, expected.per_user)
        np.testing.assert_array_equal(actual.topk_items, expected.topk_items)
        np.testing.assert_array_equal(actual.topk_scores, expected.topk_scores)
    assert_same(actual, naive_metrics(dataset, params, "test", (5, 10, 20)))


def test_what_a_model_holds_to_score_makes_its_blocks_smaller(rng, ctx):
    dataset = random_dataset(rng, num_users=5000)
    params = random_params(rng, dataset, 3)
    ranking = FullRanking(dataset, "test", EvalConfig(memory_budget_mb=1))
    ranking.evaluate(GivenScores(), params, ctx)
    (((floats, shared), (host, _)),) = ranking._blocks.items()
    assert not shared
    assert floats == 90 * (3 + 3)
    assert host.mask.shape[1] == 2**20 // (4 * floats)


@pytest.mark.parametrize("num_interests", [1, 3])
def test_block_size_and_devices_change_nothing(rng, model, ctx, num_interests, monkeypatch):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset, num_interests, levels=3)
    config = EvalConfig(k=(5, 20))
    reference = FullRanking(dataset, "test", config).evaluate(model, params, ctx, lists=True)
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()).reshape(4, 2), ("data", "model"))
    for size, devices in [(1, None), (7, None), (None, mesh), (3, mesh)]:
        if size is not None:
            monkeypatch.setattr("jaxrec.eval.ranking.block_size", lambda *args, size=size: size)
        evaluation = FullRanking(dataset, "test", config, devices).evaluate(model, params, ctx, lists=True)
        monkeypatch.undo()
        for name, values in reference.per_user.items():
            np.testing.assert_array_equal(evaluation.per_user[name], values)
        np.testing.assert_array_equal(evaluation.topk_items, reference.topk_items)
        np.testing.assert_array_equal(evaluation.topk_scores, reference.topk_scores)


@pytest.mark.parametrize(("num_interests", "devices"), [(1, 1), (4, 1), (1, 8)])
def test_blocks_hold_every_user_once_within_the_budget(rng, num_interests, devices):
    users = ranked_users(random_dataset(rng, num_users=3000, num_items=90), "test", True)
    params = random_params(rng, random_dataset(rng, num_users=3000), num_interests)
    assert floats_per_user(GivenVectors(), params, users.num_items) == users.num_items * (num_interests + 2)
    size = block_size(users, users.num_items * (num_interests + 2), 1, devices)
    assert size * users.num_items * (num_interests + 2) * 4 <= 2**20
    blocks = user_blocks(users, size, devices)
    assert len(blocks.mask) % devices == 0
    assert sorted(blocks.user_ids[blocks.mask].tolist()) == users.user_ids.tolist()
    assert blocks.in_order(blocks.user_ids).tolist() == users.user_ids.tolist()
    # Each device gets its share of the long lists.
    work = (blocks.target_count * blocks.mask).reshape(devices, -1).sum(1)
    assert work.max() <= 2 * max(work.mean(), 1)


def test_single_target_identities(rng, model, ctx):
    dataset = random_dataset(rng, num_users=200, single_target=True)
    evaluation = FullRanking(dataset, "test", EvalConfig(k=(5, 10, 20))).evaluate(
        model, random_params(rng, dataset), ctx
    )
    values = evaluation.metrics
    assert values["hit@5"] <= values["hit@10"] <= values["hit@20"]
    for k in (5, 10, 20):
        assert values[f"hit@{k}"] == values[f"recall@{k}"]
        assert values[f"mrr@{k}"] == pytest.approx(values[f"map@{k}"])
        assert values[f"hit@{k}"] / np.log2(k + 1) <= values[f"ndcg@{k}"] <= values[f"hit@{k}"]
    gained = values["hit@20"] - values["hit@10"]
    assert gained > 0
    assert 0.2276 * gained <= values["ndcg@20"] - values["ndcg@10"] <= 0.279 * gained


def test_one_compilation_serves_every_evaluation(rng, model, ctx):
    dataset = random_dataset(rng)
    ranking = FullRanking(dataset, "valid", EvalConfig())
    first = ranking.evaluate(model, random_params(rng, dataset), ctx)
    second = ranking.evaluate(model, random_params(rng, dataset), ctx)
    assert first.metrics != second.metrics
    assert ranking._compiled[id(model)].rank[False]._cache_size() == 1


def test_bad_settings_are_named(rng):
    dataset = random_dataset(rng)
    with pytest.raises(UserError, match=r"eval\.k: 91 is larger than the catalogue of 90 items"):
        FullRanking(dataset, "test", EvalConfig(k=(5, 91)))
    with pytest.raises(UserError, match=r"eval\.k"):
        FullRanking(dataset, "test", EvalConfig(k=()))
    empty = dataclasses.replace(dataset, valid=dataset.valid.take(np.zeros(len(dataset.valid), bool)))
    with pytest.raises(UserError, match="valid part holds no interaction"):
        FullRanking(empty, "valid", EvalConfig())
