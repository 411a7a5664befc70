"""A Transformer encoder for sequences of items: padded rows, or streams of sequences without padding."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax

from jaxrec.nn.attention import attention_weights, banded_attention, masked_attention, row_mask
from jaxrec.nn.dropout import dropout

Norm = Literal["pre", "post"]
_EPSILON = 1e-6


class Dense(nn.Module):
    """A linear layer that sees all rows as one matrix: half the time of a backward pass on a CPU, which is slow at
    products over two axes."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., features] of x [..., d]."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        rows = x.reshape(-1, x.shape[-1]) @ kernel + bias[None, :]
        return rows.reshape(*x.shape[:-1], self.features)


class MultiHeadAttention(nn.Module):
    """Attention of several heads, of a sequence to itself or to a memory (cross-attention).

    num_heads divides the width. dropout: of the weights; it draws from the stream "dropout".
    """

    num_heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        queries: jax.Array,
        memory: jax.Array | None = None,
        *,
        mask: jax.Array | None = None,
        segment_ids: jax.Array | None = None,
        block: int = 0,
        deterministic: bool = True,
        only_last: bool = False,
    ) -> jax.Array:
        """[B, Q, d] of queries [B, Q, d] and memory [B, K, e] (the queries themselves where None).

        Either mask [B, Q or 1, K] bool, or segment_ids [B, Q] int32 with a block length (jaxrec.nn.attention).
        only_last: the last query alone, [B, 1, d]; for masks.
        """
        width = queries.shape[-1]
        if width % self.num_heads:
            raise ValueError(f"num_heads: found {self.num_heads}, allowed: divisors of the width {width}")

        def heads(values: jax.Array) -> jax.Array:
            return values.reshape(*values.shape[:-1], self.num_heads, width // self.num_heads)

        if memory is None:
            projected = Dense(3 * width, name="query_key_value")(queries)
            query, key, value = (heads(projected[..., i * width : (i + 1) * width]) for i in range(3))
        else:
            query = heads(Dense(width, name="query")(queries))
            projected = Dense(2 * width, name="key_value")(memory)
            key, value = heads(projected[..., :width]), heads(projected[..., width:])
        if only_last:
            assert mask is not None
            query, mask = query[:, -1:], mask[:, -1:]
        rng = None if deterministic or self.dropout == 0 else self.make_rng("dropout")
        if segment_ids is not None:
            read = banded_attention(query, key, value, segment_ids, block, rate=self.dropout, rng=rng)
        else:
            assert mask is not None
            if self.is_mutable_collection("intermediates"):  # for who wants to see what is read
                self.sow("intermediates", "weights", attention_weights(query, key, mask))
            read = masked_attention(query, key, value, mask, rate=self.dropout, rng=rng)
        return Dense(width, name="output")(read.reshape(*read.shape[:-2], width))


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network with GELU, each with dropout and a residual.

    norm: "pre" normalises what a part reads, "post" the sum behind it. hidden_dim: width inside the network.
    """

    num_heads: int
    hidden_dim: int
    dropout: float = 0.0
    norm: Norm = "pre"

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        mask: jax.Array | None = None,
        segment_ids: jax.Array | None = None,
        block: int = 0,
        deterministic: bool = True,
        only_last: bool = False,
    ) -> jax.Array:
        """[B, T, d] of x [B, T, d], or [B, 1, d], of the last place alone; arguments as MultiHeadAttention."""

        def drop(values: jax.Array) -> jax.Array:
            if deterministic or self.dropout == 0:
                return values
            return dropout(self.make_rng("dropout"), values, self.dropout)

        before = nn.LayerNorm(epsilon=_EPSILON, name="attention_norm")
        between = nn.LayerNorm(epsilon=_EPSILON, name="network_norm")
        attention = MultiHeadAttention(self.num_heads, self.dropout, name="attention")
        network = (Dense(self.hidden_dim, name="network_in"), Dense(x.shape[-1], name="network_out"))

        def attend(values: jax.Array) -> jax.Array:
            return attention(
                values,
                mask=mask,
                segment_ids=segment_ids,
                block=block,
                deterministic=deterministic,
                only_last=only_last,
            )

        def feed(values: jax.Array) -> jax.Array:
            return drop(network[1](nn.gelu(network[0](values), approximate=False)))

        residual = x[:, -1:] if only_last else x
        if self.norm == "pre":
            x = residual + drop(attend(before(x)))
            return x + feed(between(x))
        x = before(residual + drop(attend(x)))
        return between(x + feed(x))


class TransformerEncoder(nn.Module):
    """Layers over one sequence a row, or over streams of them; with norm "pre", a last normalisation behind them.

    SASRec (Kang and McAuley, ICDM 2018) is the causal form; causal=False reads both ways. dropout: of attention
    weights and of what each part adds; the input is the caller's.
    """

    num_layers: int
    num_heads: int
    hidden_dim: int
    dropout: float = 0.0
    norm: Norm = "pre"
    causal: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        key_mask: jax.Array | None = None,
        segment_ids: jax.Array | None = None,
        block: int = 0,
        deterministic: bool = True,
        only_last: bool = False,
    ) -> jax.Array:
        """[B, T, d] float32 of x [B, T, d], finite also where a row holds nothing.

        Padded rows: key_mask [B, T] bool, True = real. Streams (causal alone): segment_ids [B, T] int32 and a block
        length that divides T (jaxrec.nn.attention). only_last: of padded rows, only the last place, [B, 1, d], whose
        last layer costs one query. deterministic: no dropout; otherwise the stream "dropout" must be given.
        """
        if (key_mask is None) == (segment_ids is None):
            raise ValueError("key_mask, segment_ids: allowed: one of the two")
        if segment_ids is not None and (only_last or not self.causal):
            raise ValueError("segment_ids: allowed: causal encoders, and all places")
        mask = None if key_mask is None else row_mask(key_mask, self.causal)
        for index in range(self.num_layers):
            layer = TransformerLayer(self.num_heads, self.hidden_dim, self.dropout, self.norm, name=f"layer_{index}")
            last = only_last and index == self.num_layers - 1
            x = layer(x, mask=mask, segment_ids=segment_ids, block=block, deterministic=deterministic, only_last=last)
        return nn.LayerNorm(epsilon=_EPSILON, name="norm")(x) if self.norm == "pre" else x
