"""A column of a .npy file, written a stretch at a time; its length need not be known before."""

from __future__ import annotations

import pathlib
from types import TracebackType

import numpy as np


class ArrayWriter:
    """Writes one array [n]. Use as a context manager; the file is whole when it ends."""

    def __init__(self, path: pathlib.Path, dtype: type[np.generic]) -> None:
        self._file = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._header()

    def append(self, values: np.ndarray) -> None:
        """Add values behind the last."""
        np.ascontiguousarray(values, self._dtype).tofile(self._file)
        self._length += len(values)

    def _header(self) -> None:
        # NumPy leaves room in a header for its first axis to grow to any length.
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()
