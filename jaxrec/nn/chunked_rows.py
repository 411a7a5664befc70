"""Sparse rows cut into chunks of fixed width: a product from gathers and sums alone, without a scatter.

ELL pads every row to the widest. Here a row is cut into chunks of `width` edges, and its chunk sums are summed in
chunks again until one is left, so that padding stays below one chunk a row at any degree, the number of kernels is
that of the levels (logarithmic in the largest degree), and the order of every sum is fixed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

Array = Any


@flax.struct.dataclass
class ChunkedRows:
    """R rows over S senders, E edges in all.

    senders: [width, C] int32 sender of each slot, S where there is none; edges: [width, C] int32 place of each slot in
    the row-sorted edge list, E where there is none. levels: for each further level, [width, C'] int32 places in the
    sums of all levels together, -1 where there is none. roots: [R] int32 place of each row's whole sum, -1 for an
    empty row. weights: [width, C] float32 factor of each slot, None where all are 1.
    """

    senders: Array
    edges: Array
    levels: tuple[Array, ...]
    roots: Array
    weights: Array | None = None


def chunk_rows(indptr: np.ndarray, senders: np.ndarray, num_senders: int, width: int = 8) -> ChunkedRows:
    """Cut CSR rows into chunks. indptr: [R+1] int32; senders: [E] int32 below num_senders."""
    slots, starts, counts = _cut(np.diff(indptr).astype(np.int64), indptr[:-1].astype(np.int64), width, len(senders))
    padded = np.append(senders, num_senders).astype(np.int32)
    levels, total, roots = [], slots.shape[1], starts.copy()
    rows = np.arange(len(counts))
    while (wide := counts > 1).any():
        rows, starts, counts = rows[wide], starts[wide], counts[wide]
        level, starts, counts = _cut(counts, starts, width, -1)
        levels.append(level.astype(np.int32))
        starts = starts + total
        roots[rows] = starts
        total += level.shape[1]
    roots[np.diff(indptr) == 0] = -1
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


def chunked_product(rows: ChunkedRows, table: jax.Array) -> jax.Array:
    """[R, D] sums over each row's senders of their rows in table [S, D], times the slots' weights."""
    padded = _with_zero_row(table)
    terms = (padded[senders] for senders in jnp.asarray(rows.senders))
    if rows.weights is not None:
        terms = (term * weight[:, None] for term, weight in zip(terms, rows.weights, strict=True))
    sums = functools.reduce(jnp.add, terms)
    for level in rows.levels:
        below = _with_zero_row(sums)
        sums = jnp.concatenate([sums, functools.reduce(jnp.add, (below[slot] for slot in jnp.asarray(level)))])
    return _with_zero_row(sums)[rows.roots]


def slot_weights(rows: ChunkedRows, weights: jax.Array) -> ChunkedRows:
    """The rows with a weight for each edge; weights: [E] float32 in row order."""
    return dataclasses.replace(rows, weights=jnp.append(weights, jnp.zeros(1, weights.dtype))[rows.edges])


def _with_zero_row(table: jax.Array) -> jax.Array:
    """The table and a last row of zeros, which is what -1 and the first index past the end find."""
    return jnp.concatenate([table, jnp.zeros((1, table.shape[1]), table.dtype)])
