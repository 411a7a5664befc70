"""Attention among the modality tokens of an item, less what an item that the user did not choose would attract.

The counterfactual multi-modal attention of MCLN (Li et al., SIGIR 2023). What is subtracted comes from projections of
its own, read from the other item's tokens as they are, in every block.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp


class ModalityAttention(nn.Module):
    """Blocks of attention and feed-forward network, each with its residual and layer norm."""

    num_blocks: int

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        mask: jax.Array,
        others: jax.Array | None = None,
        other_mask: jax.Array | None = None,
        *,
        average: bool = False,
    ) -> jax.Array:
        """Tokens [..., T, D] of mask [..., T] (True = there) after all blocks; a token that is not there stays 0.

        others, other_mask: [..., T, D], [..., T] tokens whose scores are subtracted before the softmax, the same item's
        in each place of the leading axes, of which the first may be missing; average: others [R, T, D] of R items, of
        whose scores the mean is subtracted everywhere. Without others nothing is.
        """
        tokens = _present(tokens, mask)
        for block in range(self.num_blocks):
            subtracted = None
            if others is not None:
                subtracted = _scores(others, f"block_{block}_other")
                there = _pairs(mask if other_mask is None else other_mask)
                subtracted = jnp.where(there, subtracted, 0.0)
                if average:
                    subtracted = subtracted.sum(0) / jnp.maximum(there.sum(0), 1)
            tokens = _Block(name=f"block_{block}")(tokens, mask, subtracted)
        return tokens


class _Block(nn.Module):
    @nn.compact
    def __call__(self, tokens: jax.Array, mask: jax.Array, subtracted: jax.Array | None) -> jax.Array:
        width = tokens.shape[-1]
        scores = _scores(tokens, "self")
        if subtracted is not None:
            scores = scores - jnp.broadcast_to(subtracted, scores.shape)
        weights = jax.nn.softmax(jnp.where(mask[..., None, :], scores, jnp.finfo(scores.dtype).min))
        read = _mix(weights, _linear(width, "value")(tokens))
        tokens = nn.LayerNorm(name="attention_norm")(tokens + _linear(width, "output")(read))
        hidden = jax.nn.relu(_dense(4 * width, "hidden")(tokens))
        tokens = nn.LayerNorm(name="feed_forward_norm")(tokens + jax.nn.relu(_dense(width, "feed_forward")(hidden)))
        return _present(tokens, mask)


def _scores(tokens: jax.Array, name: str) -> jax.Array:
    """Query times key over the root of the width, [..., T, T]."""
    query, key = (_linear(tokens.shape[-1], f"{name}_{part}")(tokens) for part in ("query", "key"))
    return jnp.einsum("...qd,...kd->...qk", query, key) / math.sqrt(tokens.shape[-1])


def _mix(weights: jax.Array, values: jax.Array) -> jax.Array:
    return jnp.einsum("...qk,...kd->...qd", weights, values)


def _linear(width: int, name: str) -> nn.Dense:
    return nn.Dense(width, use_bias=False, kernel_init=nn.initializers.xavier_uniform(), name=name)


def _dense(width: int, name: str) -> nn.Dense:
    return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), name=name)


def _present(tokens: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask[..., None], tokens, 0.0)


def _pairs(mask: jax.Array) -> jax.Array:
    return mask[..., :, None] & mask[..., None, :]
