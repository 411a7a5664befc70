"""Training triples in pre-batched blocks, streamed by Grain, for interactions that do not fit the device.

Grain hands out whole blocks of batches, built by vectorised NumPy: Python once a record would cost hundreds of times
more. Every batch is a function of (seed, step) alone, so that a stream may start at any step.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

# Streams of the generator that must not meet: the order of an epoch, the negatives of a step.
_ORDER, _NEGATIVES = 0, 1


class TripleBlocks:
    """Blocks of `block_steps` batches (user, item, negative item), each epoch in an order of its own.

    user_ids, item_ids: [E] int32 training pairs, NumPy arrays or memory maps. indptr: [U+1], items: [n] int32: the
    users' positives, sorted and without repeats. An epoch is ceil(E / batch_size) steps, its last batch padded and
    masked; a block never spans two epochs. A user who has every item gets the negative 0 and should be left out.
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
        self._user_ids, self._item_ids, self._indptr, self._items = user_ids, item_ids, indptr, items
        self._num_items, self._batch_size, self._block_steps, self._seed = num_items, batch_size, block_steps, seed
        self.steps_per_epoch = -(-len(user_ids) // batch_size)
        self._blocks_per_epoch = -(-self.steps_per_epoch // block_steps)
        # A stream reads ahead into the next epoch while this one's last blocks are made.
        self._order = functools.lru_cache(maxsize=2)(self._make_order)

    def iterate(self, start_step: int) -> Iterator[dict[str, Any]]:
        """Blocks from a step on, without end; the first may start inside a block and is the shorter for it.

        Each is {"user_ids", "item_ids", "negative_item_ids": [K, B] int32, "mask": [K, B] bool, "first_step": int,
        "num_steps": int}; batches past num_steps are wholly masked.
        """
        import grain  # slow to import, and most data fit the device

        epoch, within = divmod(start_step, self.steps_per_epoch)
        first_block, skipped = divmod(within, self._block_steps)
        first_block += epoch * self._blocks_per_epoch
        blocks = grain.MapDataset.range(first_block, sys.maxsize).map(self._block)
        stream = iter(blocks.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))
        return itertools.chain([_without_first(next(stream), skipped)], stream)

    def _make_order(self, epoch: int) -> np.ndarray:
        order = np.arange(len(self._user_ids), dtype=np.int32 if len(self._user_ids) < 2**31 else np.int64)
        np.random.default_rng([self._seed, _ORDER, epoch]).shuffle(order)
        return order

    def _block(self, block: int) -> dict[str, Any]:
        epoch, block_of_epoch = divmod(block, self._blocks_per_epoch)
        first = block_of_epoch * self._block_steps
        num_steps = min(self._block_steps, self.steps_per_epoch - first)
        shape = (self._block_steps, self._batch_size)
        chosen = self._order(epoch)[first * self._batch_size : (first + num_steps) * self._batch_size]
        rows = np.full(shape[0] * shape[1], chosen[0])
        rows[: len(chosen)] = chosen
        user_ids = np.asarray(self._user_ids[rows], np.int32).reshape(shape)
        item_ids = np.asarray(self._item_ids[rows], np.int32).reshape(shape)
        first_step = epoch * self.steps_per_epoch + first
        return {
            "user_ids": user_ids,
            "item_ids": item_ids,
            "negative_item_ids": self._negatives(first_step, user_ids),
            "mask": (np.arange(len(rows)) < len(chosen)).reshape(shape),
            "first_step": first_step,
            "num_steps": num_steps,
        }

    def _negatives(self, first_step: int, user_ids: np.ndarray) -> np.ndarray:
        """Uniform among each user's non-positives: a rank, drawn by the step's own generator, mapped to an item."""
        start = self._indptr[user_ids]
        degree = self._indptr[user_ids + 1] - start
        num_negatives = self._num_items - degree
        ranks = np.empty(user_ids.shape, np.int32)
        for step, (row, bound) in enumerate(zip(ranks, np.maximum(num_negatives, 1), strict=True)):
            row[:] = np.random.default_rng([self._seed, _NEGATIVES, first_step + step]).integers(0, bound)
        # The row's j-th item has items[start + j] - j non-positives below it, which grows with j: the items at or
        # below the rank-th non-positive are the first ones of the row, counted bit by bit from the highest.
        below = np.zeros_like(ranks)
        for bit in reversed(range(int(degree.max(initial=0)).bit_length())):
            more = below + np.int32(1 << bit)
            item = self._items[np.minimum(start + more, len(self._items)) - 1]
            np.copyto(below, more, where=(more <= degree) & (item - more < ranks))
        return np.where(num_negatives > 0, ranks + below, 0).astype(np.int32)


def _without_first(block: dict[str, Any], skipped: int) -> dict[str, Any]:
    """The block from its `skipped`-th batch on, in the same shape, its masked end made of copies of the last batch."""
    if not skipped:
        return block
    steps = np.minimum(np.arange(skipped, skipped + len(block["mask"])), len(block["mask"]) - 1)
    moved = {name: values[steps] for name, values in block.items() if isinstance(values, np.ndarray)}
    num_steps = block["num_steps"] - skipped
    moved["mask"][num_steps:] = False
    return {**moved, "first_step": block["first_step"] + skipped, "num_steps": num_steps}
