"""Interest disentanglement: the vectors of several experts are to be told apart (M3BSR section 4.3.3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrec.nn.contrast import normalize


def _off_diagonal_logits(vectors: jax.Array, temperature: float) -> tuple[jax.Array, jax.Array]:
    """Cosines of [B, N, D] over the temperature, [B, N, N], and which of them are of two experts, [1, N, N]."""
    unit = normalize(vectors)
    logits = jnp.einsum("bid,bjd->bij", unit, unit) / temperature
    return logits, ~jnp.eye(vectors.shape[1], dtype=bool)[None]


def repulsion(vectors: jax.Array, temperature: float) -> jax.Array:
    """mean_i log mean_{k != i} exp(cos(h_i, h_k) / t) of the N vectors of each row: [B] of [B, N, D].

    Least where the vectors point away from each other, which is what the text around M3BSR Eq. 20 asks for.
    """
    logits, different = _off_diagonal_logits(vectors, temperature)
    highest = jax.nn.logsumexp(jnp.where(different, logits, -1e30), axis=-1)
    return highest.mean(-1) - jnp.log(vectors.shape[1] - 1)


def literal_contrast(vectors: jax.Array, temperature: float) -> jax.Array:
    """M3BSR Eq. 20 as printed, a mean over the ordered pairs: -log exp(s_ij / t) / sum_{k != i} exp(s_ik / t).

    Least where all similarities are equal, however high they are: it separates nothing. [B] of [B, N, D].
    """
    logits, different = _off_diagonal_logits(vectors, temperature)
    total = jax.nn.logsumexp(jnp.where(different, logits, -1e30), axis=-1)
    others = vectors.shape[1] - 1
    return (total - jnp.where(different, logits, 0.0).sum(-1) / others).mean(-1)


def mean_cosine(vectors: jax.Array) -> jax.Array:
    """Mean cosine of the pairs of different vectors: [B] of [B, N, D]."""
    cosines, different = _off_diagonal_logits(vectors, 1.0)
    count = vectors.shape[1]
    return jnp.where(different, cosines, 0.0).sum((1, 2)) / (count * (count - 1))
