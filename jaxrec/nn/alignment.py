"""Graph views against text views of the same nodes, within the rows of a batch (LMMRec Eq. 7 to 9).

Views are of unit length, [S, R, D]: S sets (users, positive items, ...), R rows of this device; candidates are the rows
of all devices. A node stands in a batch more than once, and no node is its own negative (jaxrec.nn.contrast).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrec.nn.contrast import comparable, divergence, info_nce, own_candidate
from jaxrec.nn.sharding import Axes, all_rows, first_row


class Cosines(NamedTuple):
    """[S, R, C]: of this device's graph views with all texts, and of its texts with all graph views."""

    by_graph: jax.Array
    by_text: jax.Array


class Candidates(NamedTuple):
    """allowed, own: [S, R, C], [R, C] bool (jaxrec.nn.contrast); row_mask: [S, R] bool, count: [S] the real rows."""

    allowed: jax.Array
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
    # One device has all rows, so that one direction is the other's transpose.
    return Cosines(by_graph, _products(text, all_graph) if axes else by_graph.swapaxes(1, 2))


def candidates(ids: jax.Array, mask: jax.Array, num_rows: int, axes: Axes) -> Candidates:
    """Which rows may be compared, from nodes and mask [S, B] that are whole on every device."""
    first = first_row(axes, num_rows)
    own = own_candidate(num_rows, ids.shape[1], first)
    row_ids, row_mask = (jax.lax.dynamic_slice_in_dim(whole, first, num_rows, axis=1) for whole in (ids, mask))
    allowed = jnp.stack([comparable(row_ids[s], row_mask[s], ids[s], mask[s], own) for s in range(len(ids))])
    return Candidates(allowed, own, row_mask, mask.sum(1))


def coordination(student: Cosines, among: Candidates, temperature: float) -> jax.Array:
    """Each node's graph view against all texts, summed over the sets (LMMRec Eq. 7 and 8)."""
    return among.mean(info_nce(student.by_graph / temperature, among.allowed, among.own), len(among.count))


def correspondence(
    teacher: Cosines, student: Cosines, among: Candidates, temperatures: tuple[float, float]
) -> jax.Array:
    """Divergence of the student's distributions from the teacher's, both ways, mean over the teacher's sets (Eq. 9).

    temperatures: of teacher and student. The paper's similarities become distributions by a softmax over the batch.
    """
    num_sets, total = len(teacher.by_graph), jnp.zeros(())
    for taught, own in zip(teacher, student, strict=True):
        rows = divergence(taught / temperatures[0], own[:num_sets] / temperatures[1], among.allowed[:num_sets])
        total += among.mean(rows, num_sets)
    return total / num_sets


def _products(rows: jax.Array, candidates: jax.Array) -> jax.Array:
    return jnp.einsum("srd,scd->src", rows, candidates, precision="highest")
