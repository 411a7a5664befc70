"""Streamed blocks: each pair once an epoch, exact negatives, and a stream that starts anywhere."""

import itertools

import numpy as np
import pytest
import scipy.stats

from jaxrec.data.blocks import TripleBlocks

NUM_USERS, NUM_ITEMS, BATCH = 12, 20, 8


def pairs():
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(0, NUM_USERS * NUM_ITEMS, 90))
    users, items = np.divmod(keys, NUM_ITEMS)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=NUM_USERS))]).astype(np.int32)
    return users.astype(np.int32), items.astype(np.int32), indptr


def make_blocks(block_steps=3, seed=7):
    users, items, indptr = pairs()
    return TripleBlocks(users, items, indptr, items, NUM_ITEMS, BATCH, block_steps, seed)


def batches(blocks, start, count):
    """The first batches of a stream, by step."""
    found = {}
    for block in blocks.iterate(start):
        for place in range(block["num_steps"]):
            found[block["first_step"] + place] = {
                name: values[place] for name, values in block.items() if isinstance(values, np.ndarray)
            }
        if len(found) >= count:
            return dict(itertools.islice(found.items(), count))
    raise AssertionError("a stream has no end")


def test_an_epoch_holds_every_pair_once_and_orders_differ():
    blocks = make_blocks()
    users, items, _ = pairs()
    steps = blocks.steps_per_epoch
    assert steps == -(-len(users) // BATCH)
    found = batches(blocks, 0, 2 * steps)
    assert list(found) == list(range(2 * steps))
    orders = []
    for epoch in range(2):
        epoch_batches = [found[epoch * steps + step] for step in range(steps)]
        seen = [
            pair
            for batch in epoch_batches
            for pair in zip(batch["user_ids"][batch["mask"]], batch["item_ids"][batch["mask"]], strict=True)
        ]
        assert sorted(seen) == sorted(zip(users, items, strict=True))
        assert all(batch["mask"].all() for batch in epoch_batches[:-1])
        orders.append(seen)
    assert orders[0] != orders[1]


def test_shapes_dtypes_and_short_blocks():
    blocks = make_blocks(block_steps=4)
    ends = set()
    for block in itertools.islice(blocks.iterate(0), 6):
        for name in ("user_ids", "item_ids", "negative_item_ids"):
            assert block[name].shape == (4, BATCH)
            assert block[name].dtype == np.int32
        assert block["mask"].dtype == np.bool_
        assert not block["mask"][block["num_steps"] :].any()
        assert block["first_step"] // blocks.steps_per_epoch == (
            (block["first_step"] + block["num_steps"] - 1) // blocks.steps_per_epoch
        )
        ends.add(block["num_steps"])
    assert len(ends) == 2  # whole blocks, and the shorter one that ends an epoch


@pytest.mark.parametrize("start", [1, 4, 9, 10, 11, 25])
def test_a_stream_may_start_at_any_step_and_in_blocks_of_any_size(start):
    whole = batches(make_blocks(), 0, start + 12)
    for block_steps in (1, 3, 7):
        resumed = batches(make_blocks(block_steps), start, 12)
        assert list(resumed) == list(range(start, start + 12))
        for step, batch in resumed.items():
            real = batch["mask"]
            np.testing.assert_array_equal(real, whole[step]["mask"])
            for name, values in batch.items():
                np.testing.assert_array_equal(values[real], whole[step][name][real])


def test_seed_changes_order_and_negatives():
    one, other = batches(make_blocks(seed=1), 0, 2), batches(make_blocks(seed=2), 0, 2)
    assert (one[0]["user_ids"] != other[0]["user_ids"]).any()
    assert (one[1]["negative_item_ids"] != other[1]["negative_item_ids"]).any()


def test_negatives_are_uniform_among_the_non_positives():
    users, items, _ = pairs()
    drawn = np.zeros((NUM_USERS, NUM_ITEMS), int)
    for batch in batches(make_blocks(block_steps=50), 0, 3000).values():
        np.add.at(drawn, (batch["user_ids"][batch["mask"]], batch["negative_item_ids"][batch["mask"]]), 1)
    assert drawn[users, items].sum() == 0
    for user in range(NUM_USERS):
        rest = np.setdiff1d(np.arange(NUM_ITEMS), items[users == user])
        assert scipy.stats.chisquare(drawn[user, rest]).pvalue > 1e-4


def test_memory_maps_and_a_user_with_every_item(tmp_path):
    for name, values in (("users", np.zeros(4, np.int32)), ("items", np.arange(4, dtype=np.int32))):
        np.save(tmp_path / f"{name}.npy", values)
    users, items = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("users", "items"))
    blocks = TripleBlocks(users, items, np.array([0, 4], np.int32), np.arange(4, dtype=np.int32), 4, 3, 2, 0)
    block = next(blocks.iterate(0))
    assert sorted(block["item_ids"][block["mask"]]) == [0, 1, 2, 3]
    np.testing.assert_array_equal(block["negative_item_ids"], 0)


def test_no_pairs_are_refused():
    nothing = np.zeros(0, np.int32)
    with pytest.raises(ValueError, match="at least 1"):
        TripleBlocks(nothing, nothing, np.zeros(2, np.int32), nothing, 4, 3, 2, 0)
