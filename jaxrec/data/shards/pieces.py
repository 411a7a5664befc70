"""Training pairs dealt to shards: every shard holds an even share of every range of users, taken at random."""

from __future__ import annotations

import pathlib

import numpy as np

ROWS_PER_SHARD = 1 << 19
LANES = 32
"""Shards are a multiple of this, so that so many readers have equal shares."""

_SHUFFLE = 0x5A4D


def number_of_shards(rows: int, size: int = ROWS_PER_SHARD) -> int:
    """A power of two, at least LANES, of shards of at most `size` rows."""
    return max(LANES, 1 << max(-(-rows // size) - 1, 0).bit_length())


def shard_name(shard: int) -> str:
    """The file of a shard, below the folder."""
    return f"train/{shard:06d}.parquet"


class Dealer:
    """Deals rows to files in turn, those of one call in a random order; the order follows from the calls alone."""

    def __init__(self, folder: pathlib.Path, num_shards: int) -> None:
        self._folder, self._num_shards = folder, num_shards
        self._dealt = self._calls = 0
        folder.mkdir()

    def deal(self, user_ids: np.ndarray, item_ids: np.ndarray) -> None:
        """Add rows [n] int32."""
        order = np.random.default_rng([_SHUFFLE, self._calls]).permutation(len(user_ids))
        self._calls += 1
        pairs = np.stack([user_ids[order], item_ids[order]], axis=1).astype("<i4")
        for place in range(min(self._num_shards, len(pairs))):
            shard = (self._dealt + place) % self._num_shards
            with (self._folder / str(shard)).open("ab") as file:
                pairs[place :: self._num_shards].tofile(file)
        self._dealt += len(pairs)

    def write(self, folder: pathlib.Path) -> list[int]:
        """Every shard as Parquet, columns user_ids and item_ids Int32; the rows of each."""
        import polars as pl  # slow to import, and who reads the constants above needs none of it

        (folder / "train").mkdir()
        sizes = []
        for shard in range(self._num_shards):
            dealt = self._folder / str(shard)
            pairs = np.fromfile(dealt, "<i4").reshape(-1, 2) if dealt.exists() else np.zeros((0, 2), np.int32)
            dealt.unlink(missing_ok=True)
            frame = pl.DataFrame({"user_ids": pairs[:, 0], "item_ids": pairs[:, 1]})
            frame.write_parquet(folder / shard_name(shard), statistics=False)
            sizes.append(len(pairs))
        return sizes
