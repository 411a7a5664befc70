"""Histories, training targets and streams against plain Python; nothing at or after a target reaches its history."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.data.behaviors import assign_behaviors, divide
from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.histories import histories
from jaxrec.data.sequence_stream import training_stream
from jaxrec.data.splits import assign_parts
from jaxrec.data.training_targets import training_targets
from jaxrec.errors import UserError
from tests.data.making import NO_DEADLINE, interactions

NAMES = ("click", "keep", "favor")
LEAVE_ONE_OUT = DataConfig(split="leave_one_out")


def dataset_of(rows, num_behaviors=3, config=LEAVE_ONE_OUT, timed=True):
    """A dataset of (user, item, behaviour, time), not filtered; its parts may be empty."""
    names = NAMES[-num_behaviors:]
    users, items, behaviors, times = zip(*rows, strict=True)
    events = interactions(
        list(zip(users, items, strict=True)), times=times if timed else None, behaviors=behaviors, behavior_names=names
    )
    events, _ = assign_behaviors(events, tuple(f"{name}={name}" for name in names))
    target, auxiliary = divide(events)
    parts, _ = assign_parts(target, config, chronological=not timed)
    train, valid, test = (target.take(parts == index) for index in range(3))
    return Dataset("drawn", "path", train, valid, test, "", {}, auxiliary=auxiliary)


@st.composite
def drawn_rows(draw, num_behaviors=3):
    row = st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, num_behaviors - 1), st.integers(0, 8))
    rows = draw(st.lists(row, min_size=1, max_size=50))
    # At least one event of the target.
    return [*rows, (0, 0, num_behaviors - 1, draw(st.integers(0, 8)))]


def of_user(part, user):
    """(time, item) in the order of the source, put in order of time."""
    rows = np.flatnonzero(part.user_ids == user)
    pairs = [(int(part.timestamps[row]), int(part.item_ids[row])) for row in rows]
    return sorted(pairs, key=lambda pair: pair[0])


def padded(items, length):
    items = [item + 1 for item in items][-length:]
    return [0] * (length - len(items)) + items


@NO_DEADLINE
@given(drawn_rows(), st.integers(1, 6))
def test_leave_one_out_histories_hold_what_came_before_the_target_and_nothing_else(rows, length):
    dataset = dataset_of(rows)
    at_valid, at_test, at_serve = (histories(dataset, at, length) for at in ("valid", "test", "serve"))
    for tables in (at_valid, at_test, at_serve):
        assert len(tables) == 3
        assert all(table.shape == (dataset.num_users, length) and table.dtype == np.int32 for table in tables)
    for user in range(dataset.num_users):
        # The reference divides by itself: events in order of time, the order of the source among equal ones.
        favors = sorted([(t, n, i) for n, (u, i, b, t) in enumerate(rows) if u == user and b == 2])
        held_out = len(favors) >= 3
        before = {"valid": favors[:-2] if held_out else favors, "test": favors[:-1] if held_out else favors,
                  "serve": favors}  # fmt: skip
        border = {"valid": favors[-2][0] if held_out else 99, "test": favors[-1][0] if held_out else 99, "serve": 99}
        for at, tables in (("valid", at_valid), ("test", at_test), ("serve", at_serve)):
            assert tables[2][user].tolist() == padded([item for _, _, item in before[at]], length)
            for behavior in (0, 1):
                others = [
                    (t, n, i) for n, (u, i, b, t) in enumerate(rows) if u == user and b == behavior and t < border[at]
                ]
                assert tables[behavior][user].tolist() == padded([item for _, _, item in sorted(others)], length)
        if held_out:
            # The interaction of validation is the latest favor that test may know.
            assert at_test[2][user, -1] == favors[-2][2] + 1


@NO_DEADLINE
@given(
    drawn_rows(),
    st.sampled_from([
        LEAVE_ONE_OUT,
        DataConfig(split="ratio", order="temporal"),
        DataConfig(split="ratio", order="random"),
        DataConfig(split="global_temporal"),
    ]),
    st.integers(1, 50),
)  # fmt: skip
def test_no_split_lets_a_history_see_its_targets_time(rows, config, length):
    dataset = dataset_of(rows, config=config)
    for at, part in (("valid", dataset.valid), ("test", dataset.test)):
        *auxiliary, targets = histories(dataset, at, length)
        (merged,) = histories(dataset, at, length, merged=True)
        for user in np.unique(part.user_ids).tolist():
            first = of_user(part, user)[0][0]
            known = [dataset.train] if at == "valid" else [dataset.train, dataset.valid]
            allowed = [i + 1 for p in known for t, i in of_user(p, user) if t <= first]
            assert sorted(targets[user][targets[user] > 0]) == sorted(allowed[-length:]) or len(allowed) > length
            assert set(targets[user].tolist()) <= {0, *allowed}
            early = [i + 1 for t, i in of_user(dataset.auxiliary, user) if t < first]
            for table in auxiliary:
                assert set(table[user].tolist()) <= {0, *early}
            assert set(merged[user].tolist()) <= {0, *allowed, *early}
            assert np.count_nonzero(merged[user]) == min(length, len(allowed) + len(early))


@NO_DEADLINE
@given(drawn_rows(), st.integers(1, 6))
def test_training_targets_are_every_favor_with_something_before_it(rows, length):
    dataset = dataset_of(rows)
    expected = []
    for user in range(dataset.num_users):
        favors = of_user(dataset.train, user)
        for place, (time, item) in enumerate(favors):
            others = [(t, n, i, b) for n, (u, i, b, t) in enumerate(rows) if u == user and t < time]
            before = [[i for _, _, i, b in sorted(others) if b == behavior] for behavior in (0, 1)]
            before.append([i for _, i in favors[:place]])
            if any(before):
                expected.append((user, item, *(items[-length:] for items in before)))
    if not expected:
        with pytest.raises(UserError, match="has an event before it"):
            training_targets(dataset, length)
        return
    targets = training_targets(dataset, length)
    for array in (targets.user_ids, targets.item_ids, *targets.starts, *targets.ends, *targets.events):
        assert array.dtype == np.int32
    found = [
        (int(targets.user_ids[e]), int(targets.item_ids[e]),
         *(targets.events[b][targets.starts[b][e] : targets.ends[b][e]].tolist() for b in range(3)))
        for e in range(len(targets))
    ]  # fmt: skip
    assert found == expected


@NO_DEADLINE
@given(drawn_rows(), st.integers(1, 6), st.booleans())
def test_a_stream_holds_the_last_training_events_of_users_with_two(rows, length, merged):
    dataset = dataset_of(rows)
    expected = []
    for user in range(dataset.num_users):
        events = [(t, 0, n, i) for n, (t, i) in enumerate(of_user(dataset.train, user))]
        if merged:
            held_out = [t for part in (dataset.valid, dataset.test) for t, _ in of_user(part, user)]
            border = min(held_out, default=99)
            events += [(t, 1, n, i) for n, (t, i) in enumerate(of_user(dataset.auxiliary, user)) if t < border]
        items = [event[3] for event in sorted(events)][-length - 1 :]
        expected.append(items if len(items) >= 2 else [])
    if not any(expected):
        with pytest.raises(UserError, match="no user has 2 training events"):
            training_stream(dataset, length, merged)
        return
    stream = training_stream(dataset, length, merged)
    assert stream.indptr.dtype == stream.item_ids.dtype == np.int32
    found = [stream.item_ids[start:end].tolist() for start, end in itertools.pairwise(stream.indptr.tolist())]
    assert found == expected
    assert stream.num_targets == sum(max(len(items) - 1, 0) for items in expected)


def test_equal_times_keep_the_order_of_the_source_and_a_click_at_the_favors_time_is_not_before_it():
    # Rows out of order; time 5 three times.
    rows = [(0, 3, 1, 9), (0, 0, 1, 5), (0, 1, 1, 5), (0, 4, 0, 5), (0, 5, 0, 4), (0, 2, 1, 5), (0, 6, 0, 9)]
    dataset = dataset_of(rows, num_behaviors=2)
    assert dataset.valid.item_ids.tolist() == [2]
    assert dataset.test.item_ids.tolist() == [3]
    clicks, favors = histories(dataset, "valid", 4)
    assert clicks.tolist() == [[0, 0, 0, 6]]
    assert favors.tolist() == [[0, 0, 1, 2]]
    clicks, favors = histories(dataset, "test", 4)
    assert clicks.tolist() == [[0, 0, 6, 5]]
    assert favors.tolist() == [[0, 1, 2, 3]]
    # In one order, a click at a favor's time comes after the favors of that time.
    assert histories(dataset, "serve", 8, merged=True)[0].tolist() == [[0, 6, 1, 2, 3, 5, 4, 7]]


def test_a_favor_history_may_be_empty_and_a_history_may_be_one():
    rows = [(0, 0, 0, 1), (0, 1, 1, 2), (1, 2, 1, 3)]
    dataset = dataset_of(rows, num_behaviors=2)
    targets = training_targets(dataset, 5)
    # User 1 has only the target: nothing before it, no target of training.
    assert targets.user_ids.tolist() == [0]
    assert [end - start for start, end in zip(targets.starts, targets.ends, strict=True)] == [[1], [0]]
    clicks, favors = histories(dataset, "valid", 3)
    assert clicks.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert favors.tolist() == [[0, 0, 2], [0, 0, 3]]


def test_without_times_the_order_is_that_of_the_source():
    rows = [(0, item, 0, 0) for item in (4, 2, 0, 1, 3)] + [(1, 0, 0, 0)]
    dataset = dataset_of(rows, num_behaviors=1, timed=False)
    assert dataset.num_behaviors == 1
    assert [histories(dataset, at, 3)[0].tolist()[0] for at in ("valid", "test", "serve")] == [
        [5, 3, 1], [3, 1, 2], [1, 2, 4]
    ]  # fmt: skip
    stream = training_stream(dataset, 50)
    assert stream.indptr.tolist() == [0, 3, 3]
    assert stream.item_ids.tolist() == [4, 2, 0]


def test_times_of_any_size_are_in_order():
    large = 1 << 61
    rows = [(0, 0, 0, -large), (0, 1, 1, large), (0, 2, 0, large - 1), (0, 3, 1, large + 1)]
    targets = training_targets(dataset_of(rows, num_behaviors=2), 5)
    assert targets.item_ids.tolist() == [1, 3]
    assert [items.tolist() for items in targets.events] == [[0, 2], [1, 3]]
    assert [ends.tolist() for ends in targets.ends] == [[2, 2], [0, 1]]


def test_without_a_target_in_valid_that_of_test_is_the_border_of_what_validation_and_training_see():
    rows = [(0, 0, 1, 1), (0, 1, 1, 2), (0, 2, 0, 3), (0, 3, 1, 5), (0, 4, 0, 6), (1, 0, 1, 4)]
    dataset = dataset_of(rows, num_behaviors=2, config=DataConfig(split="global_temporal", ratio=(2, 1, 1)))
    assert dataset.test.user_ids.tolist() == [0]
    assert 0 not in dataset.valid.user_ids
    clicks, favors = histories(dataset, "valid", 3)
    assert clicks[0].tolist() == [0, 0, 3]
    assert favors[0].tolist() == [0, 1, 2]
    assert training_stream(dataset, 9, merged=True).item_ids.tolist() == [0, 1, 2]
