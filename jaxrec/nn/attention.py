"""Attention under masks: over padded rows, and over a stream of many sequences in blocks.

A query that may read nothing gets 0, never NaN.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jaxrec.nn.dropout import dropout


def attention_weights(query: jax.Array, key: jax.Array, mask: jax.Array) -> jax.Array:
    """How much each query reads of each key, [..., H, Q, K]; arguments as `masked_attention`. All 0 without a key."""
    scores = jnp.einsum("...qhd,...khd->...hqk", query, key) / math.sqrt(query.shape[-1])
    allowed = mask[..., None, :, :]
    scores = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
    exponentials = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    exponentials = jnp.where(allowed, exponentials, 0)  # a row without a key has the same score everywhere
    total = exponentials.sum(-1, keepdims=True)
    return exponentials / jnp.where(total > 0, total, 1)


def masked_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    *,
    rate: float = 0.0,
    rng: jax.Array | None = None,
) -> jax.Array:
    """softmax(query key^T / sqrt(dh)) value over the keys that the mask allows (Vaswani et al., NeurIPS 2017, Eq. 1).

    query: [..., Q, H, dh]; key, value: [..., K, H, dh]; mask: [..., Q or 1, K] bool, True = may be read, its leading
    axes those of query or 1. rate: dropout of the weights, where rng is given. Returns [..., Q, H, dh].
    """
    weights = attention_weights(query, key, mask)
    if rng is not None:
        weights = dropout(rng, weights, rate)
    return jnp.einsum("...hqk,...khd->...qhd", weights, value)


def row_mask(key_mask: jax.Array, causal: bool) -> jax.Array:
    """Which keys of a padded row each query may read: [B, Q or 1, L] bool of key_mask [B, L]; causal: none after it."""
    if not causal:
        return key_mask[:, None, :]
    length = key_mask.shape[1]
    return key_mask[:, None, :] & jnp.tril(jnp.ones((length, length), bool))[None]


def stream_blocks(num_targets: int, max_length: int) -> tuple[int, int]:
    """How a row of a stream is cut: (number of blocks, tokens a block), the row being as long as both say.

    A row of num_targets targets has at least max_length tokens before them, and a block at least max_length tokens
    (num_targets + max_length, where that is less than two of them), so that a sequence of max_length tokens that ends
    in a block begins no earlier than in the block before it.
    """
    tokens = num_targets + max_length
    num_blocks = tokens // max_length
    return num_blocks, -(-tokens // num_blocks)


def banded_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segment_ids: jax.Array,
    block: int,
    *,
    rate: float = 0.0,
    rng: jax.Array | None = None,
) -> jax.Array:
    """Causal attention within the segments of a stream; each block reads itself and the block before it.

    query, key, value: [R, T, H, dh]; segment_ids: [R, T] int32, the same within one sequence and -1 where there is
    nothing; block: static, divides T, and no sequence is longer. Returns [R, T, H, dh]. Exact where a sequence begins
    in its row; of one cut by the row's begin, what is there counts. Cost: T x 2 block scores a head instead of T x T.
    """
    num_rows, length = segment_ids.shape
    if length % block:
        raise ValueError(f"block: found {block}, allowed: divisors of the {length} tokens of a row")

    def blocks(values: jax.Array) -> jax.Array:
        return values.reshape(num_rows, length // block, block, *values.shape[2:])

    if length == block:
        mask = _same_segment(segment_ids, segment_ids) & jnp.tril(jnp.ones((block, block), bool))[None]
        return masked_attention(query, key, value, mask, rate=rate, rng=rng)
    segments = blocks(segment_ids)
    # Place q of a block stands at block + q of its two blocks' keys.
    causal = jnp.arange(2 * block)[None, :] <= jnp.arange(block)[:, None] + block
    mask = _same_segment(segments, _with_previous(segments, -1)) & causal[None, None]
    output = masked_attention(
        blocks(query), _with_previous(blocks(key), 0), _with_previous(blocks(value), 0), mask, rate=rate, rng=rng
    )
    return output.reshape(query.shape)


def _same_segment(of_queries: jax.Array, of_keys: jax.Array) -> jax.Array:
    """[..., Q, K] bool of [..., Q] and [..., K]; nothing reads nothing."""
    return (of_queries[..., :, None] == of_keys[..., None, :]) & (of_queries[..., :, None] >= 0)


def _with_previous(blocks: jax.Array, fill: int) -> jax.Array:
    """Each block behind the one before it: [R, n, c, ...] to [R, n, 2c, ...]; the first is behind `fill`."""
    padding = [(0, 0)] * blocks.ndim
    padding[1] = (1, 0)
    before = jnp.pad(blocks[:, :-1], padding, constant_values=fill)
    return jnp.concatenate([before, blocks], axis=2)
