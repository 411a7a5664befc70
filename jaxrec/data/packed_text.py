"""Many texts in little memory: one run of UTF-8 bytes, which may stay in its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class PackedText:
    """A table of texts by row number.

    data: [bytes] uint8, UTF-8 (a lone surrogate as its three bytes), in memory or memory-mapped. ends: [n] int64,
    where each text ends in it.
    """

    data: np.ndarray
    ends: np.ndarray

    @staticmethod
    def pack(texts: Iterable[str]) -> PackedText:
        """The texts in their order."""
        data, lengths = bytearray(), []
        for text in texts:
            encoded = text.encode("utf-8", "surrogatepass")
            data += encoded
            lengths.append(len(encoded))
        return PackedText(np.frombuffer(bytes(data), np.uint8), np.cumsum(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} texts")
        start = self.ends[row - 1] if row else 0
        return self.data[start : self.ends[row]].tobytes().decode("utf-8", "surrogatepass")

    def take(self, rows: np.ndarray) -> PackedText:
        """The texts of the given rows [m], in that order."""
        starts = np.concatenate([[0], self.ends[:-1]]).astype(np.int64)
        pieces = [self.data[start:end] for start, end in zip(starts[rows], self.ends[rows], strict=True)]
        data = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
        return PackedText(data, np.cumsum(self.ends[rows] - starts[rows], dtype=np.int64))
