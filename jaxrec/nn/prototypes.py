"""Motivation prototypes: what an embedding becomes when it is expressed in a small bank of shared vectors."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class PrototypeBank(nn.Module):
    """A bank Z [count, dim] float32 (Xavier); calling it gives the bank."""

    count: int
    dim: int

    @nn.compact
    def __call__(self) -> jax.Array:
        """The bank."""
        return self.param("prototypes", nn.initializers.xavier_uniform(), (self.count, self.dim))


def express(embeddings: jax.Array, bank: jax.Array) -> jax.Array:
    """Expectation of the prototypes under each embedding's distribution over them (LMMRec Eq. 5 and 6).

    embeddings: [..., D]; bank: [P, D]. pi = softmax(x Z^T), p = pi Z: [..., D]. The paper's "entropy of z" is read
    as the conditional distribution of z; dot product, temperature 1.
    """
    # Flat rows: a gradient that sums over several leading axes is twice as slow on a CPU.
    rows = embeddings.reshape(-1, embeddings.shape[-1])
    weights = jax.nn.softmax(jnp.einsum("rd,pd->rp", rows, bank, precision="highest"), axis=-1)  # Eq. 6
    return jnp.einsum("rp,pd->rd", weights, bank, precision="highest").reshape(embeddings.shape)  # Eq. 5
