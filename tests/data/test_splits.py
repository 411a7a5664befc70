import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.leakage import leakage_report, leakage_sentences
from jaxrec.data.splits import assign_parts, pool, ratio_counts, split, split_with_record
from jaxrec.errors import UserError
from tests.data.making import NO_DEADLINE, drawn, interactions, raw_rows

RATIOS = st.sampled_from([(3.0, 1.0, 1.0), (8.0, 1.0, 1.0), (0.8, 0.1, 0.1), (0.1, 0.2, 0.7), (1.0, 6.0, 8.0)])
RULES = st.builds(
    DataConfig,
    split=st.sampled_from(["ratio", "leave_one_out", "global_temporal"]),
    order=st.sampled_from(["random", "temporal"]),
    ratio=RATIOS,
    split_seed=st.integers(0, 3),
)


def parts_of(data, config):
    """The three parts as they come, empty ones too."""
    parts, _ = assign_parts(data, config)
    return [data.take(parts == index) for index in range(3)]


@NO_DEADLINE
@given(drawn(timed=True), RULES)
def test_every_interaction_goes_to_exactly_one_part(data, config):
    parts = parts_of(data, config)
    assert sorted(row for part in parts for row in raw_rows(part)) == raw_rows(data)


@NO_DEADLINE
@given(drawn(timed=True), RULES)
def test_a_split_is_the_same_every_time(data, config):
    first, second = parts_of(data, config), parts_of(data, config)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.user_ids, b.user_ids)
        np.testing.assert_array_equal(a.item_ids, b.item_ids)


@NO_DEADLINE
@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=8), RATIOS)
def test_each_part_is_within_one_of_its_exact_share(users, ratio):
    sizes, coins = (np.asarray(column) for column in zip(*users, strict=True))
    table = ratio_counts(sizes, ratio, coins)
    exact = sizes[:, None] * np.asarray(ratio) / np.sum(ratio)
    assert (table.sum(axis=1) == sizes).all()
    assert (table >= 0).all()
    assert (np.abs(table - exact) < 1 + 1e-9).all()
    assert (table[sizes > 0, 0] >= 1).all()


def test_ratio_counts_of_small_users():
    heads = ratio_counts(np.arange(8), (3.0, 1.0, 1.0), np.ones(8, bool)).tolist()
    assert heads == [[0, 0, 0], [1, 0, 0], [1, 0, 1], [2, 0, 1], [2, 1, 1], [3, 1, 1], [4, 1, 1], [4, 1, 2]]
    tails = ratio_counts(np.arange(8), (3.0, 1.0, 1.0), np.zeros(8, bool)).tolist()
    assert tails == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0], [2, 1, 1], [3, 1, 1], [4, 1, 1], [4, 2, 1]]
    # Shares that are whole numbers come out whole although 0.8, 0.1 and 0.1 are not exact in binary.
    even = ratio_counts(np.asarray([10, 70, 1000]), (0.8, 0.1, 0.1), np.ones(3, bool)).tolist()
    assert even == [[8, 1, 1], [56, 7, 7], [800, 100, 100]]


def test_over_many_small_users_valid_and_test_get_the_same():
    data = interactions([(user, item) for user in range(2000) for item in range(2)])
    train, valid, test = split(data, DataConfig())
    assert len(train) == 2000
    assert abs(len(valid) - len(test)) < 4 * np.sqrt(2000)


@NO_DEADLINE
@given(drawn(unique=True), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_random_split_does_not_depend_on_the_order_of_rows_or_ids(data, seed, random):
    config = DataConfig(split_seed=seed)
    parts = parts_of(data, config)
    rows = list(range(len(data)))
    random.shuffle(rows)
    shuffled = data.take(np.asarray(rows))
    # Renumbered too, and in a wider array: only the raw ids count.
    flip = len(data.users) - 1 - shuffled.user_ids
    users = dataclasses.replace(data.users, raw=data.users.raw[::-1].astype("<U20"))
    shuffled = dataclasses.replace(shuffled, user_ids=flip.astype(np.int32), users=users)
    assert [raw_rows(part) for part in parts_of(shuffled, config)] == [raw_rows(part) for part in parts]


def test_a_users_split_does_not_depend_on_other_users():
    few = interactions([(0, n) for n in range(10)])
    many = interactions([(user, n) for user in (1, 0, 2) for n in range(10)])
    mine = [set(part.item_ids[part.user_ids == 0].tolist()) for part in split(many, DataConfig())]
    assert mine == [set(part.item_ids.tolist()) for part in split(few, DataConfig())]


def test_seeds_differ_and_are_fair():
    data = interactions([(user, item) for user in range(200) for item in range(10)])
    chosen = []
    for seed in range(2):
        _, _, test = split(data, DataConfig(ratio=(8, 1, 1), split_seed=seed))
        assert (np.bincount(test.user_ids, minlength=200) == 1).all()
        chosen.append(test.item_ids[np.argsort(test.user_ids)])
    assert 0.02 < (chosen[0] == chosen[1]).mean() < 0.25  # one in ten by chance
    counts = np.bincount(chosen[0], minlength=10)
    assert ((counts - 20) ** 2 / 20).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


@NO_DEADLINE
@given(drawn(timed=True), RATIOS)
def test_in_temporal_order_the_latest_are_test_and_ties_follow_the_source(data, ratio):
    config = DataConfig(order="temporal", ratio=ratio)
    position = dataclasses.replace(data, ratings=np.arange(len(data), dtype=np.float32))
    parts = parts_of(position, config)
    for user in range(len(data.users)):
        last = [
            max(((part.timestamps[r], part.ratings[r]) for r in np.flatnonzero(part.user_ids == user)), default=None)
            for part in parts
        ]
        first = [
            min(((part.timestamps[r], part.ratings[r]) for r in np.flatnonzero(part.user_ids == user)), default=None)
            for part in parts
        ]
        for earlier, later in ((0, 1), (1, 2), (0, 2)):
            if last[earlier] is not None and first[later] is not None:
                assert last[earlier] < first[later]


@NO_DEADLINE
@given(drawn(), st.sampled_from([3, 1, 2, 5]))
def test_leave_one_out_takes_the_last_two_of_users_with_enough(data, enough):
    config = DataConfig(split="leave_one_out", leave_one_out_from=enough)
    parts = parts_of(data, config)
    times = data.timestamps if data.timestamps is not None else np.zeros(len(data))
    whole = 0
    for user in range(len(data.users)):
        rows = sorted(np.flatnonzero(data.user_ids == user), key=lambda row: (times[row], row))
        expected = [rows, [], []] if len(rows) < enough else [rows[:-2], rows[-2:-1], rows[-1:]]
        whole += 0 < len(rows) < enough
        for part, wanted in zip(parts, expected, strict=True):
            assert sorted(part.item_ids[part.user_ids == user]) == sorted(data.item_ids[wanted])
    _, record = assign_parts(data, config)
    assert record["users_whole_in_train"] == whole
    assert record["order"] == ("source" if data.timestamps is None else "temporal")


@NO_DEADLINE
@given(drawn(timed=True), RATIOS)
def test_a_global_cut_divides_no_moment(data, ratio):
    parts = parts_of(data, DataConfig(split="global_temporal", ratio=ratio))
    spans = [(part.timestamps.min(), part.timestamps.max()) for part in parts if len(part)]
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(spans))


def test_a_global_cut_lies_at_the_nearest_border_of_times():
    data = interactions([(n, 0) for n in range(10)], times=[0, 1, 2, 3, 4, 5, 5, 5, 8, 9])
    parts = split(data, DataConfig(split="global_temporal", ratio=(6, 2, 2)))
    # The quantile falls into the three at time 5, nearer to their start.
    assert [len(part) for part in parts] == [5, 3, 2]


def test_given_parts_stay_and_pooled_ones_are_split_anew():
    pairs = [(user, item) for user in range(4) for item in range(5)]
    data = interactions([*pairs, (0, 0)], parts=[*([0, 0, 0, 1, 2] * 4), 2])
    train, valid, test = split(data, DataConfig(split="given"))
    assert [len(part) for part in (train, valid, test)] == [12, 4, 5]
    assert train.parts is None
    report = leakage_report(train, valid, test)
    assert report["shared_pairs"] == {"train_valid": 0, "train_test": 1, "valid_test": 0}
    anew = split(data, DataConfig(pool=True))
    assert [len(part) for part in anew] == [12, 4, 4]
    kept = DataConfig(pool=True, filter=FilterConfig(duplicates="keep"))
    assert len(pool(data, kept)) == 21


@pytest.mark.parametrize(
    ("config", "parts", "words"),
    [
        (DataConfig(split="given"), None, ["data.split", "given", "ratio, leave_one_out, global_temporal"]),
        (DataConfig(split="ratio"), [0, 1, 2] * 2, ["data.split", "--data.split given", "--data.pool"]),
        (DataConfig(split="given"), [1, 2] * 3, ["data.split", "no train part", "valid, test", "--data.pool"]),
        (DataConfig(split="given", pool=True), [0, 1, 2] * 2, ["data.split", "data.pool"]),
        (DataConfig(order="temporal"), None, ["data.order", "no times", "random"]),
        (DataConfig(split="global_temporal"), None, ["data.split", "no times"]),
        (DataConfig(ratio=(0, 1, 1)), None, ["data.ratio", "above 0"]),
        (DataConfig(ratio=(3, -1, 1)), None, ["data.ratio", "above 0"]),
        (DataConfig(ratio=(3, float("nan"), 1)), None, ["data.ratio", "above 0"]),
        (DataConfig(ratio=(98, 1, 1)), None, ["data.ratio", "valid", "empty"]),
        (DataConfig(split="leave_one_out"), None, ["leave_one_out", "no user has 3", "empty"]),
        (DataConfig(split="leave_one_out", leave_one_out_from=0), None, ["data.leave_one_out_from", "0", "1 or more"]),
        (DataConfig(split="leave_one_out", leave_one_out_from=2), None, ["leave_one_out_from", "2", "train", "empty"]),
    ],
)
def test_impossible_combinations_are_refused_in_one_line(config, parts, words):
    data = interactions([(n // 2, n) for n in range(6)], parts=parts)
    with pytest.raises(UserError) as refusal:
        split(data, config)
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_sequences_are_in_order_of_time_without_timestamps():
    data = interactions([(0, n) for n in range(5)])
    *parts, _ = split_with_record(data, DataConfig(order="temporal"), chronological=True)
    assert [part.item_ids.tolist() for part in parts] == [[0, 1, 2], [3], [4]]


def test_the_leakage_report_counts_what_was_planted():
    maps = {"raw": (["a", "b", "c"], ["p", "q", "r", "s"])}
    train = interactions([(0, 0), (0, 1), (1, 1), (1, 2)], times=[10, 20, 30, 40], **maps)
    valid = interactions([(0, 2), (0, 0)], times=[15, 25], **maps)
    test = interactions([(0, 3), (2, 0)], times=[35, 5], **maps)
    report = leakage_report(train, valid, test)
    assert report["shared_pairs"] == {"train_valid": 1, "train_test": 0, "valid_test": 0}
    assert report["unseen"]["test"] == {"users": 1, "items": 1, "interactions_of_unseen_items": 1}
    assert report["unseen"]["valid"] == {"users": 0, "items": 0, "interactions_of_unseen_items": 0}
    assert report["users_without_target"] == {"valid": 1, "test": 1}
    assert report["time"]["valid"]["before_last_training"] == 1
    assert report["time"]["valid"]["before_last_training_share"] == 0.5
    assert report["time"]["test"]["before_last_training"] == 0
    assert report["time"]["test"]["training_after_first"] == 4
    assert report["time"]["valid"]["training_after_first_share"] == 0.75
    sentences = leakage_sentences(report)
    assert "1 user-item pair in both train and valid." in sentences
    assert any("sees the future" in sentence for sentence in sentences)
    assert all("\n" not in sentence for sentence in sentences)


def test_a_global_temporal_split_has_no_leakage_in_time():
    rng = np.random.default_rng(0)
    pairs = [(int(u), int(i)) for u, i in rng.integers(0, 9, (80, 2))]
    data = interactions(pairs, times=rng.integers(0, 50, 80))
    report = leakage_report(*split(data, DataConfig(split="global_temporal")))
    for part in ("valid", "test"):
        assert report["time"][part]["before_last_training"] == report["time"][part]["training_after_first"] == 0
    assert any("No training interaction is later" in sentence for sentence in leakage_sentences(report))
