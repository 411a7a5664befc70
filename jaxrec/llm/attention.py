"""Grouped-query attention under a mask (Ainslie et al., 2023)."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def grouped_attention(query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
    """softmax(query keys^T / sqrt(H)) values, each head of keys and values read by as many heads of queries.

    query: [B, T, N, H]; keys, values: [B, S, K, H], N a multiple of K; mask: [B or 1, 1, T, S] bool, True may be read.
    Returns [B, T, N, H] of the query's dtype; scores and their sums are float32. A query that may read nothing gets the
    mean of all values.
    """
    batch_size, num_tokens, _, head_dim = query.shape
    grouped = query.reshape(batch_size, num_tokens, keys.shape[2], -1, head_dim)
    scores = jnp.einsum("btkgh,bskh->bkgts", grouped, keys, preferred_element_type=jnp.float32)
    scores = jnp.where(mask[:, None], scores / math.sqrt(head_dim), jnp.finfo(jnp.float32).min)
    exponentials = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    # Divided at the end: T H numbers instead of T S, which a CPU would pass over once more.
    read = jnp.einsum(
        "bkgts,bskh->btkgh", exponentials.astype(values.dtype), values, preferred_element_type=jnp.float32
    )
    total = exponentials.sum(-1).transpose(0, 3, 1, 2)[..., None]
    return (read / total).astype(query.dtype).reshape(query.shape)
