"""The closed form of a random ranking against a simulation, and popularity against a plain count."""

import numpy as np
import pytest

from jaxrec.eval.config import EvalConfig
from jaxrec.eval.metrics import BEYOND, all_metrics
from jaxrec.eval.ranking import FullRanking
from jaxrec.eval.references import expected_at_random, popularity_reference, random_reference, repeat_last_reference
from jaxrec.eval.sampled_ranking import SampledRanking
from jaxrec.models.base import Context
from tests.eval.given import build_dataset, random_dataset

CASES = [(30, 1), (30, 4), (12, 12), (7, 2), (200, 15)]
KS = (1, 5, 10, 20)


@pytest.mark.parametrize(("num_candidates", "num_targets"), CASES)
def test_equals_a_simulation(rng, num_candidates, num_targets):
    draws = 20_000
    order = rng.random((draws, num_candidates)).argsort(axis=1)[:, :num_targets]
    ranks = np.full((draws, 20), BEYOND, np.int64)
    ranks[:, : min(20, num_targets)] = np.sort(order, axis=1)[:, :20] + 1
    simulated = all_metrics(ranks, np.full(draws, num_targets), KS)
    expected = expected_at_random(np.asarray([num_candidates]), np.asarray([num_targets]), KS)
    assert expected.keys() == simulated.keys()
    for name, values in simulated.items():
        error = 4.5 * values.std() / np.sqrt(draws) + 1e-9
        assert expected[name] == pytest.approx(values.mean(), abs=error), name


def test_is_the_mean_over_users():
    singles = [expected_at_random(np.asarray([c]), np.asarray([t]), KS) for c, t in CASES]
    together = expected_at_random(*np.asarray(CASES).T, KS)
    for name, value in together.items():
        assert value == pytest.approx(np.mean([single[name] for single in singles]))


def test_known_sums_for_one_target_among_100():
    values = expected_at_random(np.asarray([100]), np.asarray([1]), (5, 10, 20))
    assert values["hit@10"] == pytest.approx(0.1)
    for k, total in [(5, 2.9485), (10, 4.5436), (20, 7.0403)]:
        assert values[f"ndcg@{k}"] == pytest.approx(total / 100, abs=1e-6)


def test_large_catalogues_stay_exact():
    values = expected_at_random(np.asarray([2_000_000]), np.asarray([3]), (10,))
    assert values["hit@10"] == pytest.approx(3 * 10 / 2_000_000, rel=1e-4)


def test_popularity_ranks_by_training_counts():
    train = [(1, 2), (2, 2), (3, 2), (1, 0), (2, 0), (3, 3)]
    dataset = build_dataset(4, 5, (train, [], [(0, 2), (1, 3), (2, 1)]))
    ranking = FullRanking(dataset, "test", EvalConfig(k=(1, 2, 3)))
    # User 0 saw nothing: item 2 is first. User 1 saw 2 and 0: item 3 is first. User 2 saw 2 and 0: item 1 is tied
    # with item 4 behind item 3, and stands last among the equal.
    counts = np.bincount([item for _, item in train], minlength=5)
    assert popularity_reference(ranking, Context(item_counts=counts)).metrics["mrr@3"] == pytest.approx(
        (1 + 1 + 1 / 3) / 3
    )


def test_random_is_under_the_same_masks(rng):
    dataset = random_dataset(rng)
    ranking = FullRanking(dataset, "test", EvalConfig())
    wanted = expected_at_random(ranking.users.num_candidates, ranking.users.num_targets, (5, 10, 20))
    assert random_reference(ranking) == wanted
    unmasked = FullRanking(dataset, "test", EvalConfig(mask_valid_at_test=False))
    assert random_reference(unmasked)["recall@10"] < wanted["recall@10"]


@pytest.mark.parametrize("ranking_class", [FullRanking, SampledRanking])
def test_repeat_last_ranks_by_the_latest_place_in_the_history(ranking_class):
    # Item 3 came last, item 1 before it and once earlier; the rest was never there and is tied.
    histories = (np.asarray([[0, 2, 5, 2, 4], [0, 0, 0, 0, 0]], np.int32),)
    for target, rank in ((3, 1), (1, 2), (4, 3), (0, 6)):
        dataset = build_dataset(2, 6, ([(1, 5)], [], [(0, target)]))
        ranking = ranking_class(dataset, "test", EvalConfig(k=(1, 2, 3, 6)))
        found = repeat_last_reference(ranking, Context(item_counts=np.zeros(6, np.int32), histories=histories))
        assert found.metrics["mrr@6"] == pytest.approx(1 / rank)


def test_random_of_some_users(rng):
    ranking = FullRanking(random_dataset(rng), "test", EvalConfig(k=(10,)))
    rows = np.arange(len(ranking.num_targets)) < 5
    expected = expected_at_random(ranking.num_candidates[:5], ranking.num_targets[:5], (10,))
    assert random_reference(ranking, rows) == expected
