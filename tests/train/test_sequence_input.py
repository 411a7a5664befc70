"""Batches of sequences, made on the device: every target once an epoch, each with its whole history."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.errors import UserError
from jaxrec.train.config import TrainConfig
from jaxrec.train.input import make_input
from jaxrec.train.sequence_input import SequenceInput, target_batches
from jaxrec.train.sequence_source import SequenceShape, sequence_blocks, sequence_source

NUM_ITEMS = 30


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a model's config says of its input."""

    input: str = "stream"
    max_length: int = 4
    num_negatives: int = 0
    merged: bool = False


def dataset_of(sequences, num_items=NUM_ITEMS):
    """Users with the given training items in order; nothing is held out."""
    users = np.repeat(np.arange(len(sequences)), [len(items) for items in sequences]).astype(np.int32)
    items = np.concatenate([np.asarray(items, np.int32) for items in sequences])
    maps = IdMap(np.arange(len(sequences)).astype(str)), IdMap(np.arange(num_items).astype(str))
    train = Interactions(users, items, *maps, timestamps=np.arange(len(users)))
    nothing = train.take(np.zeros(0, np.int64))
    return Dataset("made", "path", train, nothing, nothing, "0" * 64, {})


def drawn(seed, num_users=20, longest=9):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, NUM_ITEMS, rng.integers(0, longest)).tolist() for _ in range(num_users)] + [[1, 2, 3]]


def epoch_of(data, seed, epoch):
    """The batches of an epoch as NumPy arrays."""
    source = jax.tree.map(jnp.asarray, data._source)
    batch_at = jax.jit(lambda source, within: data.batches(source, seed, jnp.int32(epoch), NUM_ITEMS)(within))
    return [jax.tree.map(np.asarray, batch_at(source, step)) for step in range(data.steps_per_epoch)]


def made(sequences, batch_size, wanted=Wanted()):
    source, shape = sequence_source(dataset_of(sequences), wanted, batch_size, lambda message: None)
    return SequenceInput(source, shape)


def expected_targets(sequences, length):
    """Every (user, history, target) of the stream, from the sequences alone."""
    found = []
    for user, items in enumerate(sequences):
        events = items[-length - 1 :]
        found += [(user, tuple(events[:place]), events[place]) for place in range(1, len(events))]
    return sorted(found)


def read_targets(batch, length):
    """Every real target of a stream's batch with what attention may show it; positions and users are checked."""
    found = []
    context = batch["tokens"].shape[1] - batch["mask"].shape[1]
    for row, place in np.argwhere(batch["mask"]):
        at = context + place
        segment = batch["segment_ids"][row]
        own = np.flatnonzero((segment == segment[at]) & (np.arange(len(segment)) <= at))
        assert (own == np.arange(own[0], at + 1)).all()
        assert (batch["user_ids"][row][own] == batch["user_ids"][row][at]).all()
        assert (np.diff(batch["positions"][row][own]) == 1).all()
        assert 0 <= batch["positions"][row][own[0]] <= batch["positions"][row][at] < length
        history = tuple(int(token) - 1 for token in batch["tokens"][row][own])
        found.append((int(batch["user_ids"][row][at]), history, int(batch["target_item_ids"][row, place])))
    return found


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, NUM_ITEMS - 1), max_size=9), min_size=1, max_size=12),
    st.sampled_from([1, 3, 4, 8, 24, 64]),
    st.integers(0, 3),
)
def test_an_epoch_of_the_stream_holds_every_target_once_with_its_whole_history(sequences, batch_size, epoch):
    sequences = [*sequences, [5, 6, 7]]
    data = made(sequences, batch_size)
    batches = epoch_of(data, 0, epoch)
    found = sorted(target for batch in batches for target in read_targets(batch, 4))
    assert found == expected_targets(sequences, 4)
    counts = [data.examples(step, 1) for step in range(data.steps_per_epoch)]
    assert counts == [int(batch["mask"].sum()) for batch in batches]
    for batch in batches:
        empty = batch["tokens"] == 0
        assert (batch["segment_ids"][empty] == -1).all()
        assert (batch["segment_ids"][~empty] >= 0).all()


def test_the_last_input_of_a_sequence_stands_at_the_last_position():
    for batch in epoch_of(made(drawn(0), 16), 0, 0):
        context = batch["tokens"].shape[1] - batch["mask"].shape[1]
        ends = batch["segment_ids"][:, context:-1] != batch["segment_ids"][:, context + 1 :]
        assert (batch["positions"][:, context:-1][ends & batch["mask"][:, :-1]] == 3).all()


def test_batches_follow_from_seed_epoch_and_step():
    data = made(drawn(0), 16)
    first, again, other_seed, other_epoch = (epoch_of(data, *at) for at in ((0, 0), (0, 0), (1, 0), (0, 1)))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for other in (other_seed, other_epoch):
        assert any((a["tokens"] != b["tokens"]).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("kind", ["stream", "targets"])
def test_negatives_are_no_items_of_their_user(kind):
    sequences = drawn(1)
    data = made(sequences, 16, Wanted(input=kind, num_negatives=3))
    for batch in epoch_of(data, 0, 0):
        assert batch["negative_item_ids"].shape == (*batch["mask"].shape, 3)
        users = batch["user_ids"][:, -batch["mask"].shape[1] :] if kind == "stream" else batch["user_ids"]
        for place in map(tuple, np.argwhere(batch["mask"])):
            assert not set(batch["negative_item_ids"][place].tolist()) & set(sequences[users[place]])


def test_targets_come_once_an_epoch_with_their_histories():
    sequences = drawn(2)
    data = made(sequences, 16, Wanted(input="targets"))
    found = []
    for batch in epoch_of(data, 0, 1):
        assert batch["histories"][0].shape == (16, 4)
        for row in np.flatnonzero(batch["mask"]):
            history = batch["histories"][0][row]
            assert (np.diff((history > 0).astype(int)) >= 0).all()  # nothing to the right of an event
            history = tuple((history[history > 0] - 1).tolist())
            found.append((int(batch["user_ids"][row]), history, int(batch["target_item_ids"][row])))
    expected = [
        (user, tuple(items[max(0, place - 4) : place]), items[place])
        for user, items in enumerate(sequences)
        for place in range(1, len(items))
    ]
    assert sorted(found) == sorted(expected)
    orders = [np.concatenate([batch["user_ids"] for batch in epoch_of(data, 0, epoch)]) for epoch in (0, 1)]
    assert (orders[0] != orders[1]).any()


def test_a_behaviour_without_events_has_empty_histories():
    source, _ = sequence_source(dataset_of(drawn(0)), Wanted(input="targets"), 8, lambda message: None)
    none = np.zeros(len(source.user_ids), np.int32)
    both = dataclasses.replace(
        source,
        starts=(none, *source.starts),
        ends=(none, *source.ends),
        events=(np.zeros(0, np.int32), *source.events),
    )
    batch = target_batches(jax.tree.map(jnp.asarray, both), SequenceShape(8, 4), 0, jnp.int32(0), NUM_ITEMS)(
        jnp.int32(0)
    )
    assert batch["histories"][0].shape == (8, 4)
    assert not batch["histories"][0].any()
    assert batch["histories"][1].any()


def test_users_with_every_item_are_left_out_where_negatives_are_drawn():
    notices = []
    dataset = dataset_of([[0, 1, 2], [0, 1], [2, 1]], num_items=3)
    source, _ = sequence_source(dataset, Wanted(num_negatives=1), 8, notices.append)
    assert source.sequences.user_ids.tolist() == [1, 2]
    assert "1 users have every item" in notices[0]
    assert sequence_source(dataset, Wanted(), 8, notices.append)[0].sequences.user_ids.tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="every user has every item"):
        sequence_source(dataset_of([[0, 1]], num_items=2), Wanted(num_negatives=1), 8, notices.append)
    with pytest.raises(UserError, match="no user has 2 training events"):
        sequence_source(dataset_of([[0], [1]]), Wanted(), 8, notices.append)


def test_the_models_config_chooses_the_input():
    dataset = dataset_of(drawn(0))
    config = TrainConfig(batch_size=8)
    assert isinstance(make_input(dataset, config, 0, lambda message: None, Wanted()), SequenceInput)
    assert not isinstance(make_input(dataset, config, 0, lambda message: None), SequenceInput)


def forms(batch):
    """Shapes and types."""
    return jax.tree.map(lambda values: (values.shape, values.dtype), batch)


def single(batch):
    """Every real target of a batch of one target each."""
    rows = np.flatnonzero(batch["mask"])
    return zip(
        batch["user_ids"][rows].tolist(),
        batch["histories"][0][rows].tolist(),
        batch["target_item_ids"][rows].tolist(),
        strict=True,
    )


@pytest.mark.parametrize("kind", ["stream", "targets"])
def test_blocks_of_the_host_hold_the_same_targets_and_begin_at_any_step(kind):
    sequences = drawn(3)
    source, shape = sequence_source(dataset_of(sequences), Wanted(kind, num_negatives=2), 8, lambda message: None)
    blocks = sequence_blocks(source, shape, NUM_ITEMS, 3, 0)

    def batches_from(step, count):
        found = []
        for block in blocks.iterate(step):
            assert int(block.pop("first_step")) == step + len(found)
            steps = int(block.pop("num_steps"))
            assert not block["mask"][steps:].any()
            found += [jax.tree.map(lambda values, i=i: values[i], block) for i in range(steps)]
            if len(found) >= count:
                return found[:count]
        return found

    device = [epoch_of(SequenceInput(source, shape), 0, epoch) for epoch in (0, 1)]
    batches = batches_from(0, 2 * blocks.steps_per_epoch)
    for epoch in (0, 1):
        own = batches[epoch * blocks.steps_per_epoch :][: blocks.steps_per_epoch]
        for batch, other in zip(own, device[epoch], strict=True):
            assert jax.tree.map(lambda a: (a.shape, a.dtype), batch) == jax.tree.map(
                lambda a: (a.shape, a.dtype), other
            )
            users = batch["user_ids"][:, -batch["mask"].shape[1] :] if kind == "stream" else batch["user_ids"]
            for place in map(tuple, np.argwhere(batch["mask"])):
                assert not set(batch["negative_item_ids"][place].tolist()) & set(sequences[users[place]])
        if kind == "stream":
            found = sorted(target for batch in own for target in read_targets(batch, 4))
            assert found == expected_targets(sequences, 4)
        else:
            found, expected = (sorted(row for batch in some for row in single(batch)) for some in (own, device[epoch]))
            assert found == expected
    later = batches_from(4, 5)
    jax.tree.map(np.testing.assert_array_equal, later, batches[4:9])


@pytest.mark.parametrize("size", [1, 2, 6, 12, 100, 2048])
def test_rows_of_a_batch_are_a_power_of_two_that_divides_it(size):
    shape = SequenceShape(size, 50)
    assert shape.num_rows * shape.width == size
    assert shape.num_rows in (1, 2, 4, 8)
    assert shape.context >= 50
