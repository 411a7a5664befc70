"""The network that predicts the noise in a sequence of features from what is known beside it (M3BSR Eq. 9 and 12)."""

from __future__ import annotations

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.nn.transformer import MultiHeadAttention

_EPSILON = 1e-6
POSITION_STD = 0.02


def time_embedding(steps: jax.Array, width: int) -> jax.Array:
    """Sines and cosines of the step at geometric frequencies (Vaswani et al., NeurIPS 2017): [..., width] of [...]."""
    half = (width + 1) // 2
    frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(half) / half)
    angles = steps[..., None].astype(jnp.float32) * frequencies.reshape((1,) * steps.ndim + (half,))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)[..., :width]


def right_aligned(table: jax.Array, length: int) -> jax.Array:
    """The last `length` rows of a table of positions: the latest event has the last row, however long the padding."""
    return table[table.shape[0] - length :]


class ConditionalDenoiser(nn.Module):
    """CI(h_t, t, c): features attend to their condition; a feed-forward network says what of them is noise.

    form "full": e = W2 GELU(W1 LN(x + Attention(LN(x), c))) with x = h_t + time + position; "attention": the bare
    CrossAttention(h_t, c, c) of the paper, which knows neither step nor position. null_condition: a learned vector
    stands for a condition that is empty; otherwise there is nothing to read then. max_length: of the sequences.
    """

    num_heads: int
    max_length: int
    form: Literal["full", "attention"] = "full"
    null_condition: bool = False

    @nn.compact
    def __call__(
        self, state: jax.Array, steps: jax.Array, condition: jax.Array, condition_mask: jax.Array
    ) -> jax.Array:
        """Predicted noise [B, L, w] of state [B, L, w], steps [B] int32, condition [B, K, e] and its mask [B, K]."""
        if self.null_condition:
            null = self.param("null_condition", nn.initializers.normal(POSITION_STD), (condition.shape[-1],))
            condition, condition_mask = fill_empty(condition, condition_mask, null)
        mask = condition_mask[:, None, :]
        attention = MultiHeadAttention(self.num_heads, name="attention")
        if self.form == "attention":
            return attention(state, condition, mask=mask)
        width = state.shape[-1]
        # Places are no part of the features, so they are not diffused; attention is told of them.
        places = nn.initializers.normal(POSITION_STD)
        of_state = self.param("positions", places, (self.max_length, width))
        of_condition = self.param("condition_positions", places, (self.max_length, condition.shape[-1]))
        time = nn.Dense(width, name="time")(time_embedding(steps, width))
        x = state + time[:, None, :] + right_aligned(of_state, state.shape[1])[None]
        condition = condition + right_aligned(of_condition, condition.shape[1])[None]
        x += attention(nn.LayerNorm(epsilon=_EPSILON, name="attention_norm")(x), condition, mask=mask)
        hidden = nn.Dense(4 * width, name="network_in")(nn.LayerNorm(epsilon=_EPSILON, name="network_norm")(x))
        # At first no noise is found: a network that begins with a guess unlearns it first.
        return nn.Dense(width, kernel_init=nn.initializers.zeros, name="network_out")(nn.gelu(hidden, approximate=True))


class FeatureMLP(nn.Module):
    """What stands in for diffusion in the control of M3BSR Fig. 5: h + W2 GELU(W1 LN(h)), each place by itself."""

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """[..., w] of [..., w]."""
        width = features.shape[-1]
        hidden = nn.Dense(4 * width, name="network_in")(nn.LayerNorm(epsilon=_EPSILON, name="norm")(features))
        return features + nn.Dense(width, name="network_out")(nn.gelu(hidden, approximate=True))


def fill_empty(rows: jax.Array, mask: jax.Array, null: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sequences [B, K, e] with their mask [B, K]; of an empty one, the last place becomes the vector null [e]."""
    last = jnp.arange(mask.shape[1])[None, :] == mask.shape[1] - 1
    filled = last & ~mask.any(axis=1, keepdims=True)
    return jnp.where(filled[..., None], null[None, None], rows), mask | filled
