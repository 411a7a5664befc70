"""SASRec: self-attention over what a user did, to tell what comes next (Kang and McAuley, ICDM 2018).

The score of an item is the product of its embedding and the encoder's state behind the last event; input and output
share one table (section III-D). What differs from the paper and its code: the loss is a setting, by default the softmax
over all items, where theirs is `bce` with one negative; the network inside a layer is wider and has GELU; the residual
adds to what came in, not to its normalised form; positions count from the end, and so do theirs.
"""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.sasrec_config import SASRecConfig
from jaxrec.nn.attention import stream_blocks
from jaxrec.nn.dropout import dropout
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.item_losses import item_loss
from jaxrec.nn.partition_rules import pad_rows
from jaxrec.nn.sharded_embedding import batch_rows
from jaxrec.nn.transformer import TransformerEncoder

__all__ = ["Encoded", "SASRec", "SASRecConfig", "SequenceEncoder"]


@flax.struct.dataclass
class Encoded:
    """What scoring reads: all parameters, and the histories [U, L] of the context, None where batches bring theirs."""

    params: Params
    histories: jax.Array | None


class SequenceEncoder(nn.Module):
    """Item vectors at their positions through the Transformer: section III-A to III-C."""

    config: SASRecConfig

    @nn.compact
    def __call__(
        self,
        vectors: jax.Array,
        positions: jax.Array,
        real: jax.Array,
        segment_ids: jax.Array | None = None,
        block: int = 0,
        deterministic: bool = True,
        only_last: bool = False,
    ) -> jax.Array:
        """[B, T, D] of vectors [B, T, D], positions [B, T] int32 and real [B, T] bool.

        Padded rows; or rows of a stream, with segment_ids [B, T] and a block length (jaxrec.nn.attention).
        only_last: the last place alone, [B, 1, D].
        """
        config = self.config
        table = self.param(
            "positions", nn.initializers.normal(config.init_std), (config.max_length, config.dim), jnp.float32
        )
        x = vectors * math.sqrt(config.dim) if config.scale_embeddings else vectors
        x = x + table[positions]
        if config.embedding_norm:
            x = nn.LayerNorm(name="embedding_norm")(x)
        if not deterministic and config.dropout > 0:
            x = dropout(self.make_rng("dropout"), x, config.dropout)
        x = jnp.where(real[..., None], x, 0.0)
        transformer = TransformerEncoder(
            config.num_layers, config.num_heads, config.hidden_dim, config.dropout, config.norm, name="transformer"
        )
        if segment_ids is None:
            return transformer(x, key_mask=real, deterministic=deterministic, only_last=only_last)
        return transformer(x, segment_ids=segment_ids, block=block, deterministic=deterministic)


@dataclasses.dataclass(frozen=True)
class SASRec:
    """The model's functions over {"items": {"embedding": [I, D]}, "encoder": parameters of SequenceEncoder}."""

    config: SASRecConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state."""
        item_rng, encoder_rng = jax.random.split(rng)
        items = EmbeddingTable(self.num_items, self.config.dim, self.config.init_std)
        one = jnp.zeros((1, 1, self.config.dim)), jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool)
        params = {
            "items": items.init(item_rng)["params"],
            "encoder": SequenceEncoder(self.config).init(encoder_rng, *one)["params"],
        }
        return pad_rows(params, self.config.partition_rules, ctx.mesh), {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """The loss over the batch's targets, each told from its user's events up to the one before it."""
        encoder_rng, loss_rng = jax.random.split(rng)
        if self.config.input == "stream":
            hidden = self.stream_states(params, batch, ctx, encoder_rng)
        else:
            hidden = self.last_states(params, batch["histories"][-1], ctx, encoder_rng)
        negatives = batch.get("negative_item_ids")
        loss = item_loss(
            self.config.loss,
            hidden.reshape(-1, self.config.dim),
            params["items"]["embedding"],
            batch["target_item_ids"].reshape(-1),
            batch["mask"].reshape(-1),
            None if negatives is None else negatives.reshape(-1, negatives.shape[-1]),
            loss_rng,
            item_counts=ctx.item_counts,
            num_items=self.num_items,
            mesh=ctx.mesh,
        )
        return LossOutput(loss, {self.config.loss.name: loss}, extra)

    def stream_states(self, params: Params, batch: Batch, ctx: Context, rng: jax.Array | None) -> jax.Array:
        """[R, W, D] states at the inputs whose next events are the targets; no dropout where rng is None."""
        tokens, width = batch["tokens"], batch["target_item_ids"].shape[1]
        num_blocks, block = stream_blocks(width, self.config.max_length)
        if tokens.shape[1] != num_blocks * block:
            raise ValueError(f"tokens: found rows of {tokens.shape[1]}, allowed: {num_blocks * block}")
        states = self._encode(params, tokens, batch["positions"], ctx, rng, batch["segment_ids"], block)
        return states[:, -width:]

    def last_states(self, params: Params, histories: jax.Array, ctx: Context, rng: jax.Array | None) -> jax.Array:
        """[B, D] states behind histories [B, L]; no dropout where rng is None."""
        length = histories.shape[1]
        if length > self.config.max_length:
            histories, length = histories[:, -self.config.max_length :], self.config.max_length
        positions = jnp.arange(self.config.max_length - length, self.config.max_length, dtype=jnp.int32)
        positions = jnp.broadcast_to(positions[None, :], histories.shape)
        return self._encode(params, histories, positions, ctx, rng, only_last=True)[:, 0]

    def _encode(
        self,
        params: Params,
        tokens: jax.Array,
        positions: jax.Array,
        ctx: Context,
        rng: jax.Array | None,
        segment_ids: jax.Array | None = None,
        block: int = 0,
        only_last: bool = False,
    ) -> jax.Array:
        real = tokens > 0
        vectors = batch_rows(params["items"]["embedding"], jnp.maximum(tokens - 1, 0), ctx.mesh)
        return SequenceEncoder(self.config).apply(
            {"params": params["encoder"]},
            vectors,
            positions,
            real,
            segment_ids,
            block,
            rng is None,
            only_last,
            rngs=None if rng is None else {"dropout": rng},
        )  # type: ignore[return-value]

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Parameters and histories as they are: a user's state is computed when it is asked for."""
        return Encoded(params, None if ctx.histories is None else ctx.histories[-1])

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D] states behind the histories of the batch or, where it brings none, of the context's users.

        Of a user without events it is what the encoder makes of nothing.
        """
        return self._user_vectors(encoded, batch, None)

    def _user_vectors(self, encoded: Encoded, batch: Batch, mesh: Mesh | None) -> jax.Array:
        histories = batch["histories"][-1] if "histories" in batch else None
        if histories is None:
            assert encoded.histories is not None
            histories = encoded.histories[batch["user_ids"]]
        return self.last_states(encoded.params, histories, Context(mesh=mesh), None)[:, None, :]

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return ItemVectors(encoded.params["items"]["embedding"][: self.num_items], jnp.zeros(self.num_items))

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """The same as `encode`."""
        return self.encode(params, ctx)

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """user_vectors, the table looked up where its rows are."""
        return self._user_vectors(encoded, batch, ctx.mesh)

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """The table as it lies, no bias."""
        table = encoded.params["items"]["embedding"]
        return ItemVectors(table, jnp.zeros(len(table)))
