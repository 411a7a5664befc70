"""Contrast between two views of the same nodes, within a batch in which a node may stand more than once."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrec.nn.losses import masked_mean


def normalize(vectors: jax.Array) -> jax.Array:
    """Rows of unit length; a zero row stays zero and has a finite gradient."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors * vectors, axis=-1, keepdims=True) + 1e-12)


def cosines(rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Cosine of each row with each column, [B, D], [C, D] -> [B, C]; in full float32, which a temperature magnifies."""
    return jnp.einsum("bd,cd->bc", normalize(rows), normalize(columns), precision="highest")


def comparable(ids: jax.Array, mask: jax.Array) -> jax.Array:
    """Which row may be compared with which, [B, B] bool: both real, and no other row of the same node.

    ids: [B] int32 nodes; mask: [B] bool. A row is always comparable with itself where it is real. So no node is its
    own negative, however often a batch holds it.
    """
    same_node = ids[:, None] == ids[None, :]
    same_row = jnp.eye(ids.shape[0], dtype=bool)
    return mask[:, None] & mask[None, :] & (same_row | ~same_node)


def log_softmax(logits: jax.Array, allowed: jax.Array, axis: int) -> jax.Array:
    """Log-softmax over the allowed entries; the others get 0, and so does a line without an allowed entry."""
    low = jnp.where(allowed, logits, -1e30)
    return jnp.where(allowed, jax.nn.log_softmax(low, axis=axis), 0.0)


def info_nce(
    anchors: jax.Array, candidates: jax.Array, ids: jax.Array, mask: jax.Array, temperature: float
) -> jax.Array:
    """-mean_i log exp(cos(a_i, c_i)/t) / sum_j exp(cos(a_i, c_j)/t) over the real rows (LMMRec Eq. 7).

    anchors, candidates: [B, D] two views of nodes ids [B]; mask: [B] bool. The sum runs over the row's own candidate
    and over the candidates of other nodes.
    """
    logits = cosines(anchors, candidates) / temperature
    log_probabilities = log_softmax(logits, comparable(ids, mask), axis=1)
    return -masked_mean(jnp.diagonal(log_probabilities), mask)


def correspondence(
    student: tuple[jax.Array, jax.Array],
    teacher: tuple[jax.Array, jax.Array],
    ids: jax.Array,
    mask: jax.Array,
    student_temperature: float,
    teacher_temperature: float,
) -> jax.Array:
    """KL of the student's similarity distributions from the teacher's, text to graph and graph to text (LMMRec Eq. 9).

    student, teacher: (text view [B, D], graph view [B, D]). The similarities of Eq. 9 are made distributions by a
    softmax over rows and one over columns; KL(teacher || student), mean over the real rows, both directions added.
    The teacher gets no gradient.
    """
    allowed = comparable(ids, mask)

    def logits(views: tuple[jax.Array, jax.Array], temperature: float) -> jax.Array:
        return cosines(*views) / temperature

    of_student = logits(student, student_temperature)
    of_teacher = jax.lax.stop_gradient(logits(teacher, teacher_temperature))
    total = jnp.zeros(())
    for axis in (1, 0):
        log_student = log_softmax(of_student, allowed, axis)
        log_teacher = log_softmax(of_teacher, allowed, axis)
        divergence = jnp.where(allowed, jnp.exp(log_teacher) * (log_teacher - log_student), 0.0).sum(axis)
        total = total + masked_mean(divergence, mask)
    return total
