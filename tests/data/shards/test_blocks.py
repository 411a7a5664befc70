"""Batches from shards: each pair once an epoch, the same whoever reads them, and a stream that starts anywhere."""

import collections

import numpy as np
import pytest
import scipy.stats

from jaxrec.data.shards import blocks
from jaxrec.data.shards.blocks import ShardBlocks
from jaxrec.data.shards.lanes import Lanes
from jaxrec.errors import UserError

from .making import sharded

BATCH, STEPS = 32, 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return sharded(tmp_path_factory.mktemp("data"))[0]


def blocks_of(dataset, seed=7, batch_size=BATCH, **options):
    return ShardBlocks(dataset.shards, dataset.num_items, batch_size, STEPS, seed, **options)


def steps_of(blocks, first, count):
    """The first batches of a stream, {name: [count, columns]}."""
    found, names = [], ("user_ids", "item_ids", "negative_item_ids", "mask")
    for block in blocks.iterate(first):
        assert block["first_step"] == first + len(found)
        found += [{name: block[name][step] for name in names} for step in range(block["num_steps"])]
        if len(found) >= count:
            return {name: np.stack([batch[name] for batch in found[:count]]) for name in names}
    raise AssertionError("a stream has no end")


def pairs(batches):
    mask = batches["mask"]
    return list(zip(batches["user_ids"][mask].tolist(), batches["item_ids"][mask].tolist(), strict=True))


@pytest.mark.parametrize("batch_size", [BATCH, 20])
def test_an_epoch_holds_every_pair_once_in_an_order_of_its_own(dataset, batch_size):
    blocks = blocks_of(dataset, batch_size=batch_size)
    assert blocks.steps_per_epoch == -(-len(dataset.train) // batch_size)
    every = sorted(zip(dataset.train.user_ids.tolist(), dataset.train.item_ids.tolist(), strict=True))
    two = steps_of(blocks, 0, 2 * blocks.steps_per_epoch)
    epochs = [{name: values[start:end] for name, values in two.items()} for start, end in (
        (0, blocks.steps_per_epoch), (blocks.steps_per_epoch, None))]  # fmt: skip
    assert [sorted(pairs(epoch)) for epoch in epochs] == [every, every]
    assert pairs(epochs[0]) != pairs(epochs[1])
    assert all(epoch["mask"][:-1].all() for epoch in epochs)
    assert (
        pairs(steps_of(blocks_of(dataset, seed=8, batch_size=batch_size), 0, 3)) != pairs(epochs[0])[: 3 * batch_size]
    )


def test_every_batch_mixes_the_users(dataset):
    # Rows are written by user: read in that order, a batch would hold the users of one range.
    batch = steps_of(blocks_of(dataset), 0, 1)
    _, p = scipy.stats.ks_2samp(batch["user_ids"][0], dataset.train.user_ids)
    assert p > 1e-3


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_read_columns_of_the_same_batches(dataset, processes):
    whole = steps_of(blocks_of(dataset), 0, 5)
    shares = [steps_of(blocks_of(dataset, process=(index, processes)), 0, 5) for index in range(processes)]
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([share[name] for share in shares], axis=1), values)


def test_a_process_opens_no_shard_of_another(dataset, monkeypatch):
    opened = collections.defaultdict(set)

    class Watched(Lanes):
        def _read(self, epoch, shard):
            opened[self].add(shard)
            return super()._read(epoch, shard)

    # Streams of other tests may still read ahead, with the class as it was.
    monkeypatch.setattr(blocks, "Lanes", Watched)
    for index in range(2):
        steps_of(blocks_of(dataset, process=(index, 2)), 0, blocks_of(dataset).steps_per_epoch)
    first, second = ({shard % dataset.shards.lanes for shard in shards} for shards in list(opened.values()))
    assert not first & second
    assert first | second == set(range(dataset.shards.lanes))


def test_a_stream_starts_at_any_step(dataset):
    per_epoch = blocks_of(dataset).steps_per_epoch
    every = steps_of(blocks_of(dataset), 0, per_epoch + 4)
    for first in (1, STEPS, per_epoch - 1, per_epoch + 1):
        later = steps_of(blocks_of(dataset), first, 3)
        for name, values in later.items():
            np.testing.assert_array_equal(values, every[name][first : first + 3])


def test_negatives_are_exact_and_uniform(dataset):
    blocks = blocks_of(dataset)
    drawn = steps_of(blocks, 0, 8 * blocks.steps_per_epoch)
    mask = drawn["mask"]
    users, negatives = drawn["user_ids"][mask], drawn["negative_item_ids"][mask]
    had = np.zeros((dataset.num_users, dataset.num_items), bool)
    had[dataset.train.user_ids, dataset.train.item_ids] = True
    assert not had[users, negatives].any()
    user = np.bincount(users).argmax()
    counts = np.bincount(negatives[users == user], minlength=dataset.num_items)[~had[user]]
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_more_processes_than_lanes_share_are_refused(dataset):
    with pytest.raises(UserError, match=r"train.batch_size: found 20, of whose 4 lanes 3 processes .* 1, 2, 4"):
        blocks_of(dataset, batch_size=20, process=(0, 3))


def test_a_shard_that_differs_is_named(tmp_path):
    dataset, _ = sharded(tmp_path)
    path = dataset.shards.path(3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"000003\.parquet: its sha256"):
        steps_of(blocks_of(dataset), 0, 60)


@pytest.mark.multiprocess
@pytest.mark.slow
def test_workers_give_the_same_batches(dataset):
    alone = steps_of(blocks_of(dataset), 2, 8)
    for name, values in steps_of(blocks_of(dataset, workers=3), 2, 8).items():
        np.testing.assert_array_equal(values, alone[name])
