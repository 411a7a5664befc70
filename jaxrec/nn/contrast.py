"""Contrast between two views of the same nodes, within a batch in which a node may stand more than once.

Everything here is a matter of rows against candidates: on one device both are the batch, on several each device has
some of the rows and all of the candidates.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

MIN_TEMPERATURE = 0.025
"""exp(-2 / 0.025) is a normal float32: from here on a sum over `shifted` logits loses nothing."""


def normalize(vectors: jax.Array) -> jax.Array:
    """Rows of unit length; a zero row stays zero and has a finite gradient."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors * vectors, axis=-1, keepdims=True) + 1e-12)


def own_candidate(num_rows: int, num_candidates: int, first: int | jax.Array = 0) -> jax.Array:
    """Which candidate is the row's own, [R, C] bool, where row r is row first + r of the batch."""
    return first + jnp.arange(num_rows)[:, None] == jnp.arange(num_candidates)[None, :]


def comparable(
    ids: jax.Array, mask: jax.Array, candidate_ids: jax.Array, candidate_mask: jax.Array, own: jax.Array
) -> jax.Array:
    """Which row may be compared with which candidate, [R, C] bool: both real, and no other row of the same node.

    ids, candidate_ids: [R], [C] int32 nodes; masks: [R], [C] bool. A real row is always comparable with its own
    candidate. So no node is its own negative, however often a batch holds it.
    """
    other_node = ids[:, None] != candidate_ids[None, :]
    return mask[:, None] & candidate_mask[None, :] & (own | other_node)


def log_softmax(logits: jax.Array, allowed: jax.Array) -> jax.Array:
    """Log-softmax over the allowed candidates; the others get 0, and so does a row without an allowed one."""
    low = jnp.where(allowed, logits, -1e30)
    return jnp.where(allowed, jax.nn.log_softmax(low, axis=-1), 0.0)


def similarities(rows: jax.Array, candidates: jax.Array, temperature: float) -> jax.Array:
    """Cosines over the temperature, [R, D], [C, D] of unit length -> [R, C]; in full float32, as 1 / t magnifies."""
    return jnp.einsum("rd,cd->rc", rows, candidates, precision="highest") / temperature


def info_nce(logits: jax.Array, allowed: jax.Array, own: jax.Array) -> jax.Array:
    """-log exp(l_own) / sum_c exp(l_c) of each row, [R] (LMMRec Eq. 7); the sum runs over the allowed candidates."""
    return -jnp.where(own, log_softmax(logits, allowed), 0.0).sum(-1)


def divergence(teacher: jax.Array, student: jax.Array, allowed: jax.Array, axis: int = -1) -> jax.Array:
    """KL(softmax of the teacher's logits || softmax of the student's), [R] (one half of LMMRec Eq. 9).

    The paper's similarities are made distributions by a softmax over the allowed candidates, which lie along `axis`.
    Logits are `shifted`, so that no maximum is needed: exponentials are taken once, for rows and for columns. The
    teacher gets no gradient.
    """
    teacher = jax.lax.stop_gradient(teacher)
    log_teacher, log_student = (log_partition(logits, allowed, axis) for logits in (teacher, student))
    weighted = jnp.where(allowed, jnp.exp(teacher) * (teacher - student), 0.0).sum(axis)
    return weighted * jnp.exp(-log_teacher) - log_teacher + log_student


def shifted(cosines: jax.Array, temperature: float) -> jax.Array:
    """Logits of cosines, at most 0 and no less than -2 / temperature."""
    return (cosines - 1.0) / temperature


def log_partition(logits: jax.Array, allowed: jax.Array, axis: int = -1) -> jax.Array:
    """Log of the sum of exponentials of `shifted` logits over the allowed candidates; 0 where there is none.

    Exact while the exponentials are normal numbers, which MIN_TEMPERATURE sees to.
    """
    total = jnp.where(allowed, jnp.exp(logits), 0.0).sum(axis)
    return jnp.log(jnp.where(total > 0, total, 1.0))
