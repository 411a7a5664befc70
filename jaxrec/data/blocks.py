"""Training batches in blocks, streamed by Grain, for interactions that do not fit the device.

Grain hands out whole blocks of batches, built by vectorised NumPy: Python once a record would cost hundreds of times
more. Every batch is a function of (seed, step) alone, so that a stream may start at any step.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

# Streams of the generator that must not meet: the order of an epoch, the negatives of a step.
_ORDER, _NEGATIVES = 0, 1


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which steps a block holds. An epoch is steps_per_epoch batches; a block never spans two epochs."""

    steps_per_epoch: int
    block_steps: int

    @property
    def blocks_per_epoch(self) -> int:
        """Blocks that hold the steps of an epoch; the last may hold fewer."""
        return -(-self.steps_per_epoch // self.block_steps)

    def place(self, block: int) -> tuple[int, int, int]:
        """Epoch of a block, its first step within it, and how many it holds."""
        epoch, block_of_epoch = divmod(block, self.blocks_per_epoch)
        first = block_of_epoch * self.block_steps
        return epoch, first, min(self.block_steps, self.steps_per_epoch - first)

    def counts(self, block: int) -> dict[str, int]:
        """The first step of a block, counted from that of the first epoch, and how many it holds."""
        epoch, first, num_steps = self.place(block)
        return {"first_step": epoch * self.steps_per_epoch + first, "num_steps": num_steps}


class EpochBlocks:
    """Blocks of `block_steps` batches, each epoch in an order of its own; what a batch holds is the subclass's.

    An epoch is ceil(num_examples / batch_size) steps, its last batch padded and masked; a block never spans two epochs.
    num_ordered: how many things are put in order (examples, or the sequences that they come in).
    """

    def __init__(self, num_examples: int, num_ordered: int, batch_size: int, block_steps: int, seed: int) -> None:
        self._num_ordered = num_ordered
        self._batch_size, self._block_steps, self._seed = batch_size, block_steps, seed
        self.steps_per_epoch = -(-num_examples // batch_size)
        self._schedule = Schedule(self.steps_per_epoch, block_steps)
        # A stream reads ahead into the next epoch while this one's last blocks are made.
        self._order = functools.lru_cache(maxsize=2)(self._make_order)

    def _batches(self, epoch: int, first: int, num_steps: int) -> dict[str, Any]:
        """num_steps batches of an epoch from its step `first` on; every array [block_steps, ...], the rest masked."""
        raise NotImplementedError

    def iterate(self, start_step: int) -> Iterator[dict[str, Any]]:
        """Blocks from a step on, without end; the first may start inside a block and is the shorter for it.

        Each holds the arrays of its batches, [K, ...], and "first_step", "num_steps": int; batches past num_steps are
        wholly masked.
        """
        epoch, within = divmod(start_step, self.steps_per_epoch)
        first_block, skipped = divmod(within, self._block_steps)
        stream = self._stream(first_block + epoch * self._schedule.blocks_per_epoch)
        return itertools.chain([_without_first(next(stream), skipped)], stream)

    def _stream(self, first_block: int) -> Iterator[dict[str, Any]]:
        """Whole blocks from one on, read ahead."""
        import grain  # slow to import, and most data fit the device

        blocks = grain.MapDataset.range(first_block, sys.maxsize).map(self._block)
        return iter(blocks.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))

    def _make_order(self, epoch: int) -> np.ndarray:
        order = np.arange(self._num_ordered, dtype=np.int32 if self._num_ordered < 2**31 else np.int64)
        np.random.default_rng([self._seed, _ORDER, epoch]).shuffle(order)
        return order

    def _block(self, block: int) -> dict[str, Any]:
        epoch, first, num_steps = self._schedule.place(block)
        return self._batches(epoch, first, num_steps) | self._schedule.counts(block)

    def _chosen(self, epoch: int, first: int, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Places in the order of an epoch and whether they are real, both [block_steps, batch_size]."""
        chosen = self._order(epoch)[first * self._batch_size : (first + num_steps) * self._batch_size]
        shape = (self._block_steps, self._batch_size)
        rows = np.full(shape[0] * shape[1], chosen[0])
        rows[: len(chosen)] = chosen
        return rows.reshape(shape), (np.arange(len(rows)) < len(chosen)).reshape(shape)


class TripleBlocks(EpochBlocks):
    """Blocks of batches (user, item, negative item): user_ids, item_ids, negative_item_ids, mask, each [K, B].

    user_ids, item_ids: [E] int32 training pairs, NumPy arrays or memory maps. indptr: [U+1], items: [n] int32: the
    users' positives, sorted and without repeats. A user who has every item gets the negative 0 and should be left out.
    """

    def __init__(
        self,
        user_ids: np.ndarray,
        item_ids: np.ndarray,
        indptr: np.ndarray,
        items: np.ndarray,
        num_items: int,
        batch_size: int,
        block_steps: int,
        seed: int,
    ) -> None:
        if not len(user_ids):
            raise ValueError("user_ids: found 0 training pairs, allowed at least 1")
        super().__init__(len(user_ids), len(user_ids), batch_size, block_steps, seed)
        self._user_ids, self._item_ids = user_ids, item_ids
        self._negatives = HostNegatives(indptr, items, num_items, seed)

    def _batches(self, epoch: int, first: int, num_steps: int) -> dict[str, Any]:
        rows, mask = self._chosen(epoch, first, num_steps)
        user_ids = np.asarray(self._user_ids[rows], np.int32)
        return {
            "user_ids": user_ids,
            "item_ids": np.asarray(self._item_ids[rows], np.int32),
            "negative_item_ids": self._negatives.draw(epoch * self.steps_per_epoch + first, user_ids),
            "mask": mask,
        }


class HostNegatives:
    """Exact negatives, drawn on the host. indptr: [U+1], items: [n] int32, each user's, sorted and without repeats."""

    def __init__(self, indptr: np.ndarray, items: np.ndarray, num_items: int, seed: int) -> None:
        self._indptr, self._items, self._num_items, self._seed = indptr, items, num_items, seed

    def draw(self, first_step: int, user_ids: np.ndarray) -> np.ndarray:
        """One for each of user_ids [K, ...] of K steps, uniform among those the user has not; the same shape, int32.

        A rank, drawn by the step's own generator, is mapped to an item; a user who has every item gets 0.
        """
        degree = self._indptr[user_ids + 1] - self._indptr[user_ids]
        bounds = np.maximum(self._num_items - degree, 1)
        ranks = np.empty(user_ids.shape, np.int32)
        for step, (row, bound) in enumerate(zip(ranks, bounds, strict=True)):
            row[...] = np.random.default_rng([self._seed, _NEGATIVES, first_step + step]).integers(0, bound)
        return unseen_items(self._indptr, self._items, self._num_items, user_ids, ranks)


def unseen_items(
    indptr: np.ndarray, items: np.ndarray, num_items: int, user_ids: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """The ranks-th item that each of user_ids [...] has not, ranks from 0: int32 of the same shape.

    indptr: [U + 1], items: [n] int32, each user's, sorted and without repeats. A user who has every item gets 0.
    """
    start = indptr[user_ids]
    degree = indptr[user_ids + 1] - start
    # The row's j-th item has items[start + j] - j non-positives below it, which grows with j: the items at or
    # below the rank-th non-positive are the first ones of the row, counted bit by bit from the highest.
    below = np.zeros_like(ranks)
    for bit in reversed(range(int(degree.max(initial=0)).bit_length())):
        more = below + np.int32(1 << bit)
        item = items[np.minimum(start + more, len(items)) - 1]
        np.copyto(below, more, where=(more <= degree) & (item - more < ranks))
    return np.where(num_items - degree > 0, ranks + below, 0).astype(np.int32)


def _without_first(block: dict[str, Any], skipped: int) -> dict[str, Any]:
    """The block from its `skipped`-th batch on, in the same shape, its masked end made of copies of the last batch."""
    if not skipped:
        return block
    steps = np.minimum(np.arange(skipped, skipped + len(block["mask"])), len(block["mask"]) - 1)
    counts = {"first_step": block["first_step"] + skipped, "num_steps": block["num_steps"] - skipped}
    arrays = {name: values for name, values in block.items() if name not in counts}
    moved = jax.tree.map(lambda values: values[steps], arrays)
    moved["mask"][counts["num_steps"] :] = False
    return moved | counts
