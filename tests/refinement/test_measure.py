"""Metrics of lists against a count by hand and the evaluator's own; chance in closed form against many orders."""

import numpy as np
import pytest

from jaxrec.data.dataset import Dataset
from jaxrec.refinement.lists import Lists
from jaxrec.refinement.measure import expected_of_any_order, paired_tests, ranks_in_lists, values_of_lists
from tests.data.making import interactions

RAW = (["ann", "bob", "cy", "di"], [f"i{number}" for number in range(8)])
LISTS = Lists(
    np.array([0, 1, 3], np.int32),
    np.array([[2, 7, 4, 5], [6, 5, -1, -1], [1, 2, 3, 4]], np.int32),
)


def world():
    """Ann should find 7, 5 and the 1 that her list lacks, Bob 0 (not listed), Di 1."""
    train = interactions([(0, 0), (1, 1), (3, 0)], raw=RAW)
    valid = interactions([(0, 6)], raw=RAW)
    test = interactions([(0, 7), (0, 5), (0, 1), (1, 0), (3, 1)], raw=RAW)
    return Dataset("tiny", "path", train, valid, test, "0" * 64, {})


def test_metrics_by_hand():
    ranks, num_targets = ranks_in_lists(LISTS, world())
    assert (ranks[0, :2].tolist(), num_targets.tolist()) == ([2, 4], [3, 1, 1])
    values = values_of_lists(LISTS, world(), (2, 4))
    assert values["hit@2"].tolist() == [1, 0, 1]
    np.testing.assert_allclose(values["recall@4"], [2 / 3, 0, 1])
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    np.testing.assert_allclose(values["ndcg@4"], [(1 / np.log2(3) + 1 / np.log2(5)) / ideal, 0, 1])


def test_lists_that_begin_alike_have_the_same_values_to_the_last_bit():
    rng = np.random.default_rng(0)
    raw = ([f"u{number}" for number in range(100)], [f"i{number}" for number in range(60)])
    pairs = [(user, item) for user in range(100) for item in rng.choice(60, 30, replace=False).tolist()]
    train, none = interactions([(0, 0)], raw=raw), interactions([], raw=raw)
    dataset = Dataset("many", "path", train, none, interactions(pairs, raw=raw), "0" * 64, {})
    long = np.stack([rng.permutation(60)[:40] for _ in range(100)]).astype(np.int32)
    values = [
        values_of_lists(Lists(np.arange(100, dtype=np.int32), long[:, :n]), dataset, (5, 10)) for n in (10, 20, 40)
    ]
    for metric, expected in values[0].items():
        assert all(np.array_equal(other[metric], expected) for other in values[1:])


@pytest.mark.parametrize("cutoff", [1, 2, 3, 4])
def test_any_order_is_the_mean_of_many_orders(cutoff):
    rng, found = np.random.default_rng(cutoff), []
    for _ in range(4000):
        rows = [np.concatenate([rng.permutation(row[row >= 0]), row[row < 0]]) for row in LISTS.item_ids]
        values = values_of_lists(Lists(LISTS.user_ids, np.stack(rows)), world(), (cutoff,))
        found.append([values[name].mean() for name in values])
    expected = expected_of_any_order(LISTS, world(), (cutoff,))
    np.testing.assert_allclose(np.mean(found, axis=0), list(expected.values()), atol=0.02)


def test_fewer_users_are_among_more():
    dataset = world()
    some = [set(LISTS.of_some(dataset, count).user_ids.tolist()) for count in (1, 2, 3, 9)]
    assert [len(users) for users in some] == [1, 2, 3, 3]
    assert some[0] < some[1] < some[2] == some[3]


def test_tests_say_how_many_moved():
    before = {"hit@1": np.array([0.0, 0.0, 1.0, 1.0])}
    found = paired_tests(before, {"hit@1": np.array([1.0, 1.0, 1.0, 0.0])})["hit@1"]
    assert (found["difference"], found["better"], found["worse"]) == (0.25, 2, 1)
    assert 0.05 < found["t_test"] < 1
    assert paired_tests(before, before)["hit@1"]["t_test"] == 1.0
