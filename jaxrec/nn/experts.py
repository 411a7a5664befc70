"""Experts for interests that behaviours and modalities share, for those of each alone, and the gate between them.

Each expert reads sequences and gives one vector, that of the latest event (M3BSR section 4.3; the paper does not say
how a sequence becomes a vector). A user without a history gets a learned vector in its place.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.nn.denoiser import fill_empty
from jaxrec.nn.transformer import MultiHeadAttention, TransformerEncoder

_INIT = nn.initializers.normal(0.02)


class Expert(nn.Module):
    """A Transformer that reads a padded sequence both ways (M3BSR Eq. 17 to 19), and what it says of the last event."""

    num_layers: int
    num_heads: int
    dropout: float

    @nn.compact
    def __call__(self, sequence: jax.Array, mask: jax.Array, deterministic: bool) -> jax.Array:
        """[B, d] of sequence [B, L, d] and mask [B, L], real events at the right."""
        width = sequence.shape[-1]
        empty = self.param("empty", _INIT, (width,))
        encoder = TransformerEncoder(
            self.num_layers, self.num_heads, 4 * width, self.dropout, causal=False, name="encoder"
        )
        pooled = encoder(sequence, key_mask=mask, deterministic=deterministic, only_last=True)[:, 0]
        return jnp.where(mask[:, -1:], pooled, empty[None])


class Experts(nn.Module):
    """Several experts, each with its own sequences and parameters, in one batched call."""

    num_layers: int
    num_heads: int
    dropout: float

    @nn.compact
    def __call__(self, sequences: jax.Array, masks: jax.Array, deterministic: bool) -> jax.Array:
        """[B, E, d] of sequences [B, E, L, d] and masks [B, E, L]."""
        vmap: Any = nn.vmap  # its annotation knows one axis for all arguments alone
        stacked = vmap(
            Expert,
            in_axes=(0, 0, None),
            out_axes=1,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
        )
        experts = stacked(self.num_layers, self.num_heads, self.dropout, name="experts")
        return experts(sequences.swapaxes(0, 1), masks.swapaxes(0, 1), deterministic)


class SharedSequences(nn.Module):
    """What shallower behaviours have in common with the target behaviour: they attend to it (M3BSR Eq. 14 to 16)."""

    num_heads: int
    width: int

    @nn.compact
    def __call__(self, shallow: jax.Array, deep: jax.Array, deep_mask: jax.Array) -> jax.Array:
        """[B, S, L, width] of S shallower behaviours [B, S, L, e], the deepest [B, L, e] and its mask [B, L].

        A learned vector stands for the deepest behaviour of a user without any.
        """
        num_rows, num_shallow, length, _ = shallow.shape
        null = self.param("null_condition", _INIT, (deep.shape[-1],))
        deep, deep_mask = fill_empty(deep, deep_mask, null)
        queries = nn.Dense(self.width, name="queries")(shallow).reshape(num_rows, num_shallow * length, self.width)
        shared = MultiHeadAttention(self.num_heads, name="attention")(queries, deep, mask=deep_mask[:, None, :])
        return shared.reshape(num_rows, num_shallow, length, self.width)


def mean_of_present(vectors: jax.Array, present: jax.Array) -> jax.Array:
    """Mean over S of vectors [B, S, d] where present [B, S] holds, or of all where it holds nowhere: [B, d]."""
    share = jnp.where(present.any(-1, keepdims=True), present, True)[..., None].astype(vectors.dtype)
    return (vectors * share).sum(1) / share.sum(1)


class GatedFusion(nn.Module):
    """g = sigmoid(W_g [common; specific] + b_g), y = g common + (1 - g) W_s specific (M3BSR Eq. 21 and 22).

    W_s brings the specific vectors side by side, E d wide, to the width of the common one; the paper's sum has no
    matching widths.
    """

    @nn.compact
    def __call__(self, common: jax.Array, specific: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """User vectors [B, d], gate [B, d] and the summands of y [B, 1 + E, d] of common [B, d], specific [B, E, d]."""
        num_rows, num_experts, width = specific.shape
        side_by_side = specific.reshape(num_rows, num_experts * width)
        gate = nn.sigmoid(nn.Dense(width, name="gate")(jnp.concatenate([common, side_by_side], axis=-1)))
        kernel = self.param("specific", nn.initializers.lecun_normal(), (num_experts * width, width))
        fused = gate * common + (1 - gate) * (side_by_side @ kernel)
        mixed = jnp.einsum("bed,edf->bef", specific, kernel.reshape(num_experts, width, width))
        summands = jnp.concatenate([(gate * common)[:, None], (1 - gate)[:, None] * mixed], axis=1)
        return fused, gate, summands
