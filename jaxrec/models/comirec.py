"""ComiRec-DR: several interests of a user by dynamic routing (Cen et al., KDD 2020).

Each place of a history has its own map to each capsule; logits begin at zero and gather the agreement; training reads
the capsule that is nearest to the target, ranking the best of all. What differs from the paper's code: places count
from the latest event, so that padding moves no item to another map; the maps begin small (Glorot), theirs are drawn
from N(0, 1); drawn negatives are corrected for how often they are drawn.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.nn.capsules import Routed, position_votes, route
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.item_losses import ItemLossConfig, item_loss
from jaxrec.nn.partition_rules import BY_VOCABULARY, PartitionRules, pad_rows
from jaxrec.nn.sharded_embedding import batch_rows


@dataclasses.dataclass(frozen=True)
class ComiRecConfig:
    """Settings of ComiRec-DR; the defaults are its code's for Amazon Books."""

    name: ClassVar[str] = "comirec"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    needs_histories: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    input: ClassVar[str] = "targets"
    mesh_axis: ClassVar[str] = "data"
    # Each device has its share of the catalogue, as the softmax over it wants.
    partition_rules: ClassVar[PartitionRules] = BY_VOCABULARY

    dim: int = 64
    """Width of item embeddings and of interests."""
    num_interests: int = 4
    """Capsules K, the interests of each user."""
    iterations: int = 3
    """Routing iterations; the last alone has a gradient."""
    max_length: int = 20
    """The latest events of a user that are read; each place has its own map to each interest."""
    init_std: float = 0.02
    """Standard deviation of the first embeddings."""
    loss: ItemLossConfig = ItemLossConfig(name="sampled_softmax", num_negatives=1280)
    """How targets are told from other items; the paper draws ten times as many items as a batch has targets."""

    @property
    def num_negatives(self) -> int:
        """Negatives of each target that a batch brings."""
        return self.loss.num_negatives if self.loss.needs_negatives else 0

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        for field in ("dim", "num_interests", "iterations", "max_length"):
            if getattr(self, field) < 1:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: 1 or more")
        if self.init_std <= 0:
            raise UserError(f"{prefix}.init_std: found {self.init_std}, allowed: above 0")
        self.loss.validate(f"{prefix}.loss")


@flax.struct.dataclass
class Encoded:
    """What scoring reads: all parameters, and the histories [U, L] of the context, None where batches bring theirs."""

    params: Params
    histories: jax.Array | None


@dataclasses.dataclass(frozen=True)
class ComiRec:
    """The model's functions over {"items": {"embedding": [I, D]}, "maps": [max_length, K, D, D]}."""

    config: ComiRecConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state."""
        config = self.config
        items_rng, maps_rng = jax.random.split(rng)
        items = EmbeddingTable(self.num_items, config.dim, config.init_std)
        glorot = jax.nn.initializers.glorot_uniform(batch_axis=(0, 1))
        maps = glorot(maps_rng, (config.max_length, config.num_interests, config.dim, config.dim))
        params = {"items": items.init(items_rng)["params"], "maps": maps}
        return pad_rows(params, config.partition_rules, ctx.mesh), {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """The loss over the batch's targets, each scored by the interest that is nearest to it.

        The chosen interest scores the negatives, too: the paper's readout in training, where ranking takes the best of
        all interests for each item.
        """
        config, targets = self.config, batch["target_item_ids"]
        interests = self._route(params, batch["histories"][-1], ctx).capsules
        own = batch_rows(params["items"]["embedding"], targets, ctx.mesh)
        nearest = jnp.einsum("bkd,bd->bk", interests, own).argmax(1)
        loss = item_loss(
            config.loss,
            jnp.take_along_axis(interests, nearest[:, None, None], axis=1)[:, 0],
            params["items"]["embedding"],
            targets,
            batch["mask"],
            batch.get("negative_item_ids"),
            rng,
            item_counts=ctx.item_counts,
            num_items=self.num_items,
            mesh=ctx.mesh,
        )
        return LossOutput(loss, {config.loss.name: loss}, extra)

    def _route(self, params: Params, histories: jax.Array, ctx: Context) -> Routed:
        """Interests of histories [B, L]; zeros of one without events, so that it tells no two items apart."""
        histories = histories[:, -self.config.max_length :]
        length = histories.shape[1]
        items = batch_rows(params["items"]["embedding"], jnp.maximum(histories - 1, 0), ctx.mesh)
        votes = position_votes(items, params["maps"][-length:])
        start = jnp.zeros((*histories.shape, self.config.num_interests))
        return route(votes, histories > 0, start, iterations=self.config.iterations, update="accumulate")

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Parameters and histories as they are: a user's interests are computed when they are asked for."""
        return Encoded(params, None if ctx.histories is None else ctx.histories[-1])

    def read(self, encoded: Encoded, batch: Batch) -> tuple[Routed, jax.Array]:
        """Interests with their coupling, and the histories [B, L] they were routed from, at most max_length events.

        Of the histories that the batch brings or, where it brings none, of the context's.
        """
        return self._read(encoded, batch, None)

    def _read(self, encoded: Encoded, batch: Batch, mesh: Mesh | None) -> tuple[Routed, jax.Array]:
        if "histories" in batch:
            histories = batch["histories"][-1]
        else:
            assert encoded.histories is not None
            histories = encoded.histories[batch["user_ids"]]
        return self._route(encoded.params, histories, Context(mesh=mesh)), histories[:, -self.config.max_length :]

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, K, D] interests."""
        return self.read(encoded, batch)[0].capsules

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return ItemVectors(encoded.params["items"]["embedding"][: self.num_items], jnp.zeros(self.num_items))

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """The same as `encode`."""
        return self.encode(params, ctx)

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """user_vectors, the table looked up where its rows are."""
        return self._read(encoded, batch, ctx.mesh)[0].capsules

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """The table as it lies, no bias."""
        table = encoded.params["items"]["embedding"]
        return ItemVectors(table, jnp.zeros(len(table)))
