"""Sparse rows cut into chunks of fixed width: a product from gathers and sums alone, without a scatter.

ELL pads every row to the widest. Here a row is cut into chunks of `width` edges, and its chunk sums are summed in
chunks again until one is left, so that padding stays below one chunk a row at any degree, the number of kernels is
that of the levels (logarithmic in the largest degree), and the order of every sum is fixed.
"""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

Array = Any


@flax.struct.dataclass
class ChunkedRows:
    """R rows over S senders.

    senders: [width, C] int32 sender of each slot (0 where there is none); edges: [width, C] int32 place of each
    slot in the row-sorted edge list, the number of edges where there is none. levels: for each further level,
    [width, C'] int32 places in all the sums so far, of which the last place + 1 is zero. roots: [R] int32 place of
    each row's whole sum.
    """

    senders: Array
    edges: Array
    levels: tuple[Array, ...]
    roots: Array


def chunk_rows(indptr: np.ndarray, senders: np.ndarray, num_senders: int, width: int = 8) -> ChunkedRows:
    """Cut CSR rows into chunks. indptr: [R+1] int32; senders: [E] int32 below num_senders."""
    del num_senders
    slots, starts, counts = _cut(np.diff(indptr).astype(np.int64), indptr[:-1].astype(np.int64), width, len(senders))
    padded = np.append(senders, np.int32(0))
    levels, total, roots = [], slots.shape[1], starts.copy()
    rows = np.arange(len(counts))
    while (wide := counts > 1).any():
        rows, starts, counts = rows[wide], starts[wide], counts[wide]
        level, starts, counts = _cut(counts, starts, width, -1)
        levels.append(level.astype(np.int32))
        starts = starts + total
        roots[rows] = starts
        total += level.shape[1]
    roots[np.diff(indptr) == 0] = total
    levels = [np.where(level < 0, total, level).astype(np.int32) for level in levels]
    return ChunkedRows(
        senders=padded[slots], edges=slots.astype(np.int32), levels=tuple(levels), roots=roots.astype(np.int32)
    )


def _cut(lengths: np.ndarray, starts: np.ndarray, width: int, fill: int):
    """Slots [width, C] of runs starts..starts+lengths in chunks; each run's first chunk and number of chunks."""
    counts = -(-lengths // width)
    first = np.concatenate([[0], np.cumsum(counts)])
    owner = np.repeat(np.arange(len(lengths)), counts)
    offset = (np.arange(first[-1]) - first[owner]) * width
    inside = offset[None, :] + np.arange(width)[:, None]
    slots = np.where(inside < lengths[owner], starts[owner] + inside, fill)
    return slots, first[:-1], counts


def chunked_product(rows: ChunkedRows, values: jax.Array, table: jax.Array) -> jax.Array:
    """[R, D] sums of values [E] times the senders' rows of table [S, D]."""
    weights = jnp.append(values, jnp.zeros(1, values.dtype))[rows.edges]
    senders = jnp.asarray(rows.senders)
    total = sum(weights[slot][:, None] * table[senders[slot]] for slot in range(senders.shape[0]))
    sums = [jnp.asarray(total)]
    for level in rows.levels:
        below = jnp.concatenate([*sums, jnp.zeros((1, table.shape[1]), table.dtype)])
        level = jnp.minimum(level, below.shape[0] - 1)
        sums.append(sum(below[level[slot]] for slot in range(level.shape[0])))
    return jnp.concatenate([*sums, jnp.zeros((1, table.shape[1]), table.dtype)])[rows.roots]
