"""Graph views against text views of the same nodes, within the rows of a batch (LMMRec Eq. 7 to 9).

Views are of unit length, [S, R, D]: S sets (users, positive items, ...), R rows of this device; candidates are the rows
of all devices. A node stands in a batch more than once, and no node is its own negative (jaxrec.nn.contrast).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrec.nn.contrast import comparable, divergence, log_partition, own_candidate, shifted
from jaxrec.nn.sharding import Axes, all_rows, first_row


class Cosines(NamedTuple):
    """Of this device's graph views with all texts, [S, R, C]; of all graph views with its texts, [S, C, R].

    On one device, which has all rows, both are the same matrix: rows are read in one direction, columns in the other,
    and nothing is transposed.
    """

    by_graph: jax.Array
    by_text: jax.Array


class Candidates(NamedTuple):
    """allowed: of each matrix of Cosines (jaxrec.nn.contrast); own: [R, C] bool; row_mask: [S, R] bool; count: [S]
    real rows of all devices."""

    allowed: Cosines
    own: jax.Array
    row_mask: jax.Array
    count: jax.Array

    def mean(self, values: jax.Array, num_sets: int) -> jax.Array:
        """Mean of values [S, R] over the real rows of all devices, summed over the sets; this device's share of it."""
        kept = jnp.where(self.row_mask[:num_sets], values, 0.0).sum(1)
        return (kept / jnp.maximum(self.count[:num_sets], 1)).sum()


def cosines(graph: jax.Array, text: jax.Array, axes: Axes) -> Cosines:
    """Every row against every candidate, in full float32, as a temperature magnifies; views [S, R, D]."""
    all_graph, all_text = all_rows(jnp.stack([graph, text]), axes, axis=2)
    by_graph = _products(graph, all_text)
    return Cosines(by_graph, _products(all_graph, text) if axes else by_graph)


def candidates(ids: jax.Array, mask: jax.Array, num_rows: int, axes: Axes) -> Candidates:
    """Which rows may be compared, from nodes and mask [S, B] that are whole on every device."""
    first = first_row(axes, num_rows)
    own = own_candidate(num_rows, ids.shape[1], first)
    row_ids, row_mask = (jax.lax.dynamic_slice_in_dim(whole, first, num_rows, axis=1) for whole in (ids, mask))
    allowed = jnp.stack([comparable(row_ids[s], row_mask[s], ids[s], mask[s], own) for s in range(len(ids))])
    return Candidates(Cosines(allowed, allowed.swapaxes(1, 2) if axes else allowed), own, row_mask, mask.sum(1))


def coordination(student: Cosines, among: Candidates, temperature: float) -> jax.Array:
    """Each node's graph view against all texts, summed over the sets (LMMRec Eq. 7 and 8)."""
    logits = shifted(student.by_graph, temperature)
    own = jnp.where(among.own, logits, 0.0).sum(-1)
    return among.mean(log_partition(logits, among.allowed.by_graph) - own, len(among.count))


def correspondence(
    teacher: Cosines, student: Cosines, among: Candidates, temperatures: tuple[float, float]
) -> jax.Array:
    """Divergence of the student's distributions from the teacher's, both ways, mean over the teacher's sets (Eq. 9).

    temperatures: of teacher and student.
    """
    num_sets, total = len(teacher.by_graph), jnp.zeros(())
    for taught, own, allowed, axis in zip(teacher, student, among.allowed, (2, 1), strict=True):
        logits = shifted(taught, temperatures[0]), shifted(own, temperatures[1])[:num_sets]
        total += among.mean(divergence(*logits, allowed[:num_sets], axis), num_sets)
    return total / num_sets


def _products(rows: jax.Array, candidates: jax.Array) -> jax.Array:
    return jnp.einsum("srd,scd->src", rows, candidates, precision="highest")
