"""Rows of an epoch, lane by lane: each lane reads its own shards, in an order of its own.

The shuffle of an epoch has two levels, both functions of (seed, epoch): a lane reads its shards in a random order, and
the rows of a shard, all of which are in memory while it lasts, in another. What lies in one shard was drawn at random
from all the data when the shards were written, so that each window of an epoch is a sample of the whole. Rows that
share a shard are near each other in every epoch; that is what is left out of a full shuffle.
"""

from __future__ import annotations

import collections
import threading

import numpy as np

from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.shards.folder import Shards, damaged

_SHARDS, _ROWS = 2, 3  # streams of the generator, apart from those of jaxrec.data.blocks

Pairs = tuple[np.ndarray, np.ndarray]


class Lanes:
    """The rows of `count` lanes; shard s belongs to lane s modulo count. Lanes differ by one row at most."""

    def __init__(self, shards: Shards, count: int, seed: int, kept: int) -> None:
        self.count = count
        self._shards, self._seed, self._kept = shards, seed, kept
        self._rows = np.asarray(shards.rows, np.int64)
        self._windows: collections.OrderedDict[tuple[int, int], Pairs] = collections.OrderedDict()
        self._verified: set[int] = set()
        self._lock = threading.Lock()

    def num_rows(self, lane: int) -> int:
        """Rows of a lane in one epoch."""
        return int(self._rows[lane :: self.count].sum())

    def rows(self, lane: int, epoch: int, first: int, end: int) -> Pairs:
        """user_ids and item_ids of the rows first to end (or the last one) of a lane in an epoch, [n] int32 each."""
        order = np.arange(lane, len(self._rows), self.count)
        order = np.random.default_rng([self._seed, _SHARDS, epoch, lane]).permutation(order)
        ends = np.cumsum(self._rows[order])
        starts = ends - self._rows[order]
        pieces = []
        for place in np.flatnonzero((starts < end) & (ends > first)).tolist():
            users, items = self._window(epoch, int(order[place]))
            inside = slice(max(first - int(starts[place]), 0), end - int(starts[place]))
            pieces.append((users[inside], items[inside]))
        if not pieces:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        return np.concatenate([users for users, _ in pieces]), np.concatenate([items for _, items in pieces])

    def _window(self, epoch: int, shard: int) -> Pairs:
        """A shard's rows in their order of an epoch; the last ones used are kept."""
        key = epoch, shard
        with self._lock:
            if key in self._windows:
                self._windows.move_to_end(key)
                return self._windows[key]
        pairs = self._read(epoch, shard)
        with self._lock:
            self._windows[key] = pairs
            while len(self._windows) > self._kept:
                self._windows.popitem(last=False)
        return pairs

    def _read(self, epoch: int, shard: int) -> Pairs:
        import polars as pl  # slow to import, and data that fit memory need none of it here

        path = self._shards.path(shard)
        if shard not in self._verified:
            if not path.is_file() or file_digest(path) != self._shards.digests[shard]:
                raise damaged(path)
            self._verified.add(shard)
        frame = pl.read_parquet(path)
        order = np.random.default_rng([self._seed, _ROWS, epoch, shard]).permutation(len(frame))
        return frame["user_ids"].to_numpy()[order], frame["item_ids"].to_numpy()[order]
