"""Training batches read from shards, by process and by worker.

A batch is made of lanes, each of which reads its own shards (jaxrec.data.shards.lanes). A process reads consecutive
lanes, and each of its workers some of them, so that every shard is read by one of them alone; whoever reads them, the
batches are the same. Every batch is a function of (seed, step), so that a stream may start at any step.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxrec.data.blocks import EpochBlocks, Schedule, unseen_items
from jaxrec.data.shards.folder import Shards
from jaxrec.data.shards.lanes import Lanes
from jaxrec.data.stable_hash import numbers
from jaxrec.errors import UserError

_NEGATIVES = 4  # a stream of the generator, apart from those of jaxrec.data.blocks and jaxrec.data.shards.lanes


class ShardBlocks(EpochBlocks):
    """Blocks of batches (user, item, negative item): user_ids, item_ids, negative_item_ids, mask, each [K, B / P].

    process: this one's number and how many there are (P); its columns of a batch are the process-th of P equal ones.
    workers: processes that read ahead; 0 reads in threads. A user who has every item is masked: there is no negative.
    """

    def __init__(
        self,
        shards: Shards,
        num_items: int,
        batch_size: int,
        block_steps: int,
        seed: int,
        process: tuple[int, int] = (0, 1),
        workers: int = 0,
    ) -> None:
        super().__init__(shards.num_pairs, 0, batch_size, block_steps, seed)
        count = math.gcd(shards.lanes, batch_size)
        index, processes = process
        if count % processes:
            allowed = ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)
            raise UserError(
                f"train.batch_size: found {batch_size}, of whose {count} lanes {processes} processes cannot have equal "
                f"shares; allowed: {allowed} processes, or a multiple of {shards.lanes} for more of them"
            )
        own = count // processes
        workers = min(workers, own)
        self._readers = [
            _Reader(shards, num_items, batch_size, self._schedule, seed, count, lanes)
            for lanes in np.array_split(np.arange(index * own, (index + 1) * own), max(workers, 1))
        ]
        self._workers = workers

    def _stream(self, first_block: int) -> Iterator[dict[str, Any]]:
        import grain  # slow to import, and most data fit the device

        # Element n is the share of reader n mod R in block n div R: worker w takes every R-th element, its own lanes.
        number = len(self._readers)
        parts = grain.MapDataset.range(first_block * number, sys.maxsize).map(_Parts(self._readers))
        if self._workers:
            from absl import flags

            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # Grain asks for a flag of absl when it starts a process
            ahead = parts.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))
            stream = iter(ahead.mp_prefetch(grain.MultiprocessingOptions(self._workers, per_worker_buffer_size=2)))
        else:
            # Opened here: numpy parses a file's header, which Python 3.11 can't do in two threads at once.
            for reader in self._readers:
                reader.open()
            stream = iter(parts.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)))
        for block in itertools.count(first_block):
            shares = [next(stream) for _ in range(number)]
            whole = {name: np.concatenate([share[name] for share in shares], axis=1) for name in shares[0]}
            yield whole | self._schedule.counts(block)


class _Parts:
    """Element n of the stream that Grain reads; sent to the workers as it is."""

    def __init__(self, readers: list[_Reader]) -> None:
        self._readers = readers

    def __call__(self, element: int) -> dict[str, np.ndarray]:
        block, reader = divmod(element, len(self._readers))
        return self._readers[reader].block(block)


class _Reader:
    """Some lanes of every batch, next to each other. What it holds open is opened by the process that reads."""

    def __init__(
        self,
        shards: Shards,
        num_items: int,
        batch_size: int,
        schedule: Schedule,
        seed: int,
        count: int,
        own: np.ndarray,
    ) -> None:
        self._shards, self._num_items, self._batch_size = shards, num_items, batch_size
        self._schedule, self._seed, self._count, self._own = schedule, seed, count, own.tolist()
        self._opened: tuple[Lanes, np.ndarray, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def open(self) -> tuple[Lanes, np.ndarray, np.ndarray]:
        """The lanes and each user's training items (indptr, items), the same at every call."""
        if self._opened is None:
            # Of each lane the shard that ends and the one that begins, for two threads.
            lanes = Lanes(self._shards, self._count, self._seed, kept=3 * len(self._own))
            self._opened = lanes, *self._shards.positives()
        return self._opened

    def block(self, block: int) -> dict[str, np.ndarray]:
        """The columns of these lanes, [block_steps, lanes * width]; steps past the last are wholly masked."""
        lanes, indptr, items = self.open()
        epoch, first, num_steps = self._schedule.place(block)
        width, steps = self._batch_size // self._count, self._schedule.block_steps
        user_ids, item_ids = np.zeros((2, steps, len(self._own), width), np.int32)
        mask = np.zeros(user_ids.shape, bool)
        for place, lane in enumerate(self._own):
            users, wanted = lanes.rows(lane, epoch, first * width, (first + num_steps) * width)
            for column, values in ((user_ids, users), (item_ids, wanted), (mask, np.True_)):
                rows = np.zeros(steps * width, column.dtype)
                rows[: len(users)] = values
                column[:, place] = rows.reshape(steps, width)
        shape = (steps, len(self._own) * width)
        user_ids, item_ids, mask = (column.reshape(shape) for column in (user_ids, item_ids, mask))
        num_unseen = self._num_items - (indptr[user_ids + 1] - indptr[user_ids])
        ranks = self._ranks(epoch * self._schedule.steps_per_epoch + first, num_unseen)
        return {
            "user_ids": user_ids,
            "item_ids": item_ids,
            "negative_item_ids": unseen_items(indptr, items, self._num_items, user_ids, ranks),
            "mask": mask & (num_unseen > 0),
        }

    def _ranks(self, first_step: int, num_unseen: np.ndarray) -> np.ndarray:
        """A rank below num_unseen [K, n] each, a function of seed, step and column alone: [K, n] int32."""
        steps, columns = num_unseen.shape
        first_column = self._own[0] * (self._batch_size // self._count)
        stream = (self._seed << 3) + _NEGATIVES
        drawn = numbers(stream, first_step * self._batch_size, steps * self._batch_size).reshape(steps, -1)
        # 53 bits are a float64 below 1; that no rank is likelier than another holds to one part in 2**53 / num_items.
        uniform = (drawn[:, first_column : first_column + columns] >> np.uint64(11)) * 2.0**-53
        return (uniform * num_unseen).astype(np.int32)
