import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.data.config import FilterConfig
from jaxrec.data.filters import apply_filters, compact, core_rows, first_of_pairs
from jaxrec.errors import UserError
from tests.data.making import NO_DEADLINE, drawn, interactions, raw_rows

KEEP_ALL = FilterConfig(duplicates="keep")


def naive_core(pairs, user_core, item_core):
    """Drop one row at a time until nothing is wrong."""
    rows = list(pairs)
    while True:
        users = collections.Counter(user for user, _ in rows)
        items = collections.Counter(item for _, item in rows)
        bad = next((r for r in rows if users[r[0]] < user_core or items[r[1]] < item_core), None)
        if bad is None:
            return rows
        rows.remove(bad)


@NO_DEADLINE
@given(drawn(), st.integers(0, 5), st.integers(0, 5))
def test_core_is_the_largest_set_where_everybody_has_enough(data, user_core, item_core):
    kept = data.take(core_rows(data, user_core, item_core))
    pairs = list(zip(data.user_ids.tolist(), data.item_ids.tolist(), strict=True))
    expected = naive_core(pairs, user_core, item_core)
    assert sorted(zip(kept.user_ids.tolist(), kept.item_ids.tolist(), strict=True)) == sorted(expected)


@NO_DEADLINE
@given(drawn(), st.sampled_from(["first", "last"]))
def test_one_of_each_pair_stays_the_earliest_or_the_latest(data, which):
    times = data.timestamps if data.timestamps is not None else np.zeros(len(data), np.int64)
    expected = {}
    for row in range(len(data)):
        pair, place = (data.user_ids[row], data.item_ids[row]), (times[row], row)
        if pair not in expected:
            expected[pair] = place
        else:
            expected[pair] = (min if which == "first" else max)(expected[pair], place)
    kept = np.flatnonzero(first_of_pairs(data, last=which == "last")).tolist()
    assert kept == sorted(row for _, row in expected.values())


def test_a_pair_in_two_given_parts_is_not_silently_dropped():
    data = interactions([(0, 0), (0, 0), (0, 0)], parts=[0, 0, 2])
    kept, _ = apply_filters(data, FilterConfig())
    assert kept.parts.tolist() == [0, 2]


def test_each_step_is_recorded_with_counts_before_and_after():
    data = interactions(
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (0, 0)],
        ratings=[5, 4, 4, 4, 1, 5],
        times=[10, 20, 30, 40, 50, 60],
        behaviors=[1, 1, 1, 1, 1, 0],
        behavior_names=("view", "buy"),
    )
    config = FilterConfig(behavior="buy", min_rating=4, start_time=10, end_time=41, user_core=2, item_core=2)
    kept, steps = apply_filters(data, config)
    names = ["behavior", "min_rating", "start_time", "end_time", "duplicates", "user_core"]
    assert [step["step"] for step in steps] == names
    assert steps[0]["before"] == {"interactions": 6, "users": 3, "items": 3}
    assert steps[0]["after"] == {"interactions": 5, "users": 3, "items": 3}
    assert steps[1]["after"] == {"interactions": 4, "users": 2, "items": 2}
    assert all(a["after"] == b["before"] for a, b in itertools.pairwise(steps))
    assert raw_rows(kept) == [
        ("u0", "i0", 5.0, 10),
        ("u0", "i1", 4.0, 20),
        ("u1", "i0", 4.0, 30),
        ("u1", "i1", 4.0, 40),
    ]


def test_the_time_window_is_half_open():
    data = interactions([(0, n) for n in range(4)], times=[1, 2, 3, 4])
    kept, _ = apply_filters(data, FilterConfig(start_time=2, end_time=4))
    assert kept.timestamps.tolist() == [2, 3]


def test_ids_without_interactions_leave_the_maps_and_raw_ids_stay():
    data = interactions([(4, 2), (1, 7)], raw=(list("abcde"), ["a long raw id", *"bcdefgh"]))
    small = compact(data)
    assert small.users.raw.tolist() == ["b", "e"]
    assert small.items.raw.tolist() == ["c", "h"]
    assert small.items.raw.dtype == np.dtype("<U1")
    assert raw_rows(small) == raw_rows(data)
    assert small.user_ids.dtype == small.item_ids.dtype == np.int32


@NO_DEADLINE
@given(drawn())
def test_compacting_keeps_every_row(data):
    small = compact(data)
    assert raw_rows(small) == raw_rows(data)
    assert set(small.user_ids.tolist()) == set(range(len(small.users)))
    assert set(small.item_ids.tolist()) == set(range(len(small.items)))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (FilterConfig(min_rating=3.0), ["data.filter.min_rating", "no ratings"]),
        (FilterConfig(start_time=3), ["data.filter.start_time", "no times"]),
        (FilterConfig(end_time=3), ["data.filter.end_time", "no times"]),
        (FilterConfig(behavior="buy"), ["data.filter.behavior", "buy", "view, cart"]),
        (FilterConfig(user_core=9), ["data.filter.user_core", "9", "none of 3"]),
        (FilterConfig(item_core=9), ["data.filter.item_core", "9"]),
        (FilterConfig(user_core=-1), ["data.filter.user_core", "-1", "0 or more"]),
        (FilterConfig(start_time=5, end_time=5), ["data.filter.end_time", "later than"]),
        (FilterConfig(min_rating=float("nan")), ["data.filter.min_rating", "nan", "finite"]),
    ],
)
def test_what_cannot_be_filtered_is_refused_in_one_line(config, words):
    data = interactions([(0, 0), (1, 1), (1, 2)], behaviors=[0, 0, 1], behavior_names=("view", "cart"))
    with pytest.raises(UserError) as refusal:
        apply_filters(data, config)
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_the_step_that_left_nothing_is_named():
    data = interactions([(0, 0), (1, 1)], ratings=[1, 2])
    with pytest.raises(UserError, match=r"min_rating = 5.*none of 2"):
        apply_filters(data, FilterConfig(min_rating=5))


def test_a_source_without_interactions_is_refused():
    with pytest.raises(UserError, match="no interactions"):
        apply_filters(interactions([]), KEEP_ALL)


def test_without_settings_nothing_changes():
    data = interactions([(0, 0), (0, 0), (1, 0)])
    kept, steps = apply_filters(data, KEEP_ALL)
    assert raw_rows(kept) == raw_rows(data)
    assert steps == []
