"""How a matrix of scores, rows by items, is cut up so that little of it exists at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

CPU_SCORES, SCORES = 2**22, 2**26
"""How many scores exist at a time unless the caller says: what a CPU's cache holds, and 256 MiB elsewhere."""
CPU_CHUNK = 2**20
"""How many scores of a chunk of items a CPU takes at most: they are read again by three passes, from a nearer cache."""
MIN_ROWS = 128
"""With fewer rows at a time, adding up the gradient of the whole table costs more than scores computed twice."""


def scores_at_once(num_rows: int, chunk: int | None) -> int:
    """How many scores exist at a time: those of `chunk` items for all rows, or what suits the device."""
    if chunk is not None:
        return num_rows * chunk
    return CPU_SCORES if jax.default_backend() == "cpu" else SCORES


def rows_at_once(num_rows: int, num_items: int, most: int) -> int:
    """Rows of a block where blocks of rows are the way: a divisor of all rows if one is near; else 0."""
    rows = min(num_rows, most // num_items)
    if rows < min(num_rows, MIN_ROWS):
        return 0
    return next((size for size in range(rows, rows // 2, -1) if num_rows % size == 0), even_size(num_rows, rows))


def items_at_once(num_rows: int, num_items: int, most: int) -> int:
    """Items of a chunk. Rows of scores a multiple of 2 KiB apart would fall on the same lines of the cache."""
    most = min(most, CPU_CHUNK) if jax.default_backend() == "cpu" else most
    size = even_size(num_items, min(num_items, max(most // num_rows, 1)))
    return size if size % 512 else min(size + 16, num_items)


def even_size(length: int, most: int) -> int:
    """The size of the fewest chunks that cover a length, none above `most`."""
    return -(-length // -(-length // most))


def over_chunks(add: Callable[[Any, Any, int], Any], start: Any, length: int, size: int) -> Any:
    """add(carry, begin, size) over the chunks of 0..length, and once more for what is left over."""
    whole, rest = divmod(length, size)
    if whole == 1:
        carry = add(start, 0, size)
    else:
        carry = jax.lax.fori_loop(0, whole, lambda k, carry: add(carry, k * size, size), start)
    return add(carry, whole * size, rest) if rest else carry
