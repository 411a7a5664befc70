"""Rows on disk in buckets of consecutive users, so that all that concerns one user fits memory at once."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ROWS_PER_BUCKET = 1 << 21


class Rows(NamedTuple):
    """Parallel columns: user_ids, item_ids [n] int32; times [n] int64 seconds, or None where the source has none."""

    user_ids: np.ndarray
    item_ids: np.ndarray
    times: np.ndarray | None

    def take(self, rows: np.ndarray | slice) -> Rows:
        """The given rows."""
        return Rows(self.user_ids[rows], self.item_ids[rows], None if self.times is None else self.times[rows])


class Buckets:
    """Files of rows, one a range of users; a range has about `size` rows, or one user.

    counts: [U] rows of each user, at most. Rows of a bucket keep the order in which they came.
    """

    def __init__(self, folder: pathlib.Path, counts: np.ndarray, timed: bool, size: int = ROWS_PER_BUCKET) -> None:
        self._folder = folder
        kinds = [("user", "<i4"), ("item", "<i4")] + ([("time", "<i8")] if timed else [])
        self._kind = np.dtype(kinds)
        before = np.cumsum(counts, dtype=np.int64) - counts
        first = np.flatnonzero(np.diff(before // size, prepend=-1))
        self.starts = np.append(first, len(counts))
        folder.mkdir()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def append(self, rows: Rows) -> None:
        """Add rows of any users."""
        places = (np.searchsorted(self.starts, rows.user_ids, "right") - 1).astype(np.int32)
        order = np.argsort(places, kind="stable")
        ordered = rows.take(order)
        ends = np.searchsorted(places[order], np.arange(len(self) + 1))
        for bucket in np.unique(places).tolist():
            part = ordered.take(slice(ends[bucket], ends[bucket + 1]))
            with self._file(bucket).open("ab") as file:
                self._packed(part).tofile(file)

    def read(self, bucket: int) -> Rows:
        """The rows of one range of users."""
        file = self._file(bucket)
        packed = np.fromfile(file, self._kind) if file.exists() else np.zeros(0, self._kind)
        times = np.ascontiguousarray(packed["time"]) if "time" in (self._kind.names or ()) else None
        return Rows(np.ascontiguousarray(packed["user"]), np.ascontiguousarray(packed["item"]), times)

    def replace(self, bucket: int, rows: Rows) -> None:
        """Put other rows in the place of a bucket's."""
        self._packed(rows).tofile(self._file(bucket))

    def __iter__(self) -> Iterator[Rows]:
        return (self.read(bucket) for bucket in range(len(self)))

    def _file(self, bucket: int) -> pathlib.Path:
        return self._folder / f"{bucket:06d}"

    def _packed(self, rows: Rows) -> np.ndarray:
        packed = np.empty(len(rows.user_ids), self._kind)
        packed["user"], packed["item"] = rows.user_ids, rows.item_ids
        if rows.times is not None:
            packed["time"] = rows.times
        return packed
