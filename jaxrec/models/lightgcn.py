"""LightGCN: propagation without weights over the interaction graph (He et al., SIGIR 2020)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.graph import Graph, edge_dropout
from jaxrec.nn.losses import bpr_loss, half_squared_norm
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules
from jaxrec.nn.propagation import Combine, combine_weights, propagate, propagate_rows

Encoded = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class LightGCNConfig:
    """Settings of LightGCN; the defaults are the paper's."""

    name: ClassVar[str] = "lightgcn"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    # Propagation is linear per feature, so features are what is shared out among devices.
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    dim: int = 64
    """Width of the embeddings."""
    num_layers: int = 3
    """Layers of propagation."""
    combine: Combine = "mean"
    """How the layers become one embedding (Eq. 8)."""
    regularization: float = 1e-4
    """Weight of half the squared norm of the batch's ego embeddings."""
    edge_dropout: float = 0.0
    """Share of edges left out in each step."""
    init_std: float = 0.1
    """Standard deviation of the first embeddings."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("num_layers", self.num_layers >= 1, "1 or more"),
            ("regularization", self.regularization >= 0, "0 or more"),
            ("edge_dropout", 0 <= self.edge_dropout < 1, "from 0 to below 1"),
            ("init_std", self.init_std > 0, "above 0"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class LightGCN:
    """The model's functions over plain parameters {"nodes": {"embedding": [U + I, D]}}; users come first."""

    config: LightGCNConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state."""
        table = EmbeddingTable(self.num_users + self.num_items, self.config.dim, self.config.init_std)
        return {"nodes": table.init(rng)["params"]}, {}

    def batch_nodes(self, batch: Batch) -> jax.Array:
        """Nodes of users, positive and negative items, one after the other: [3B] int32."""
        items = jnp.concatenate([batch["item_ids"], batch["negative_item_ids"]]) + self.num_users
        return jnp.concatenate([batch["user_ids"], items])

    def training_graph(self, ctx: Context, rng: jax.Array) -> Graph:
        """The graph of one step, after edge dropout."""
        if self.config.edge_dropout == 0.0:
            return ctx.graph
        return edge_dropout(ctx.graph, rng, self.config.edge_dropout)

    def layer_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context, num_layers: int) -> jax.Array:
        """Embeddings of the given nodes at every layer, [num_layers + 1, R, D] (Eq. 7); layer 0 is the ego layer."""
        return propagate_rows(params["nodes"]["embedding"], graph, rows, num_layers=num_layers, mesh=ctx.mesh)

    def training_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context) -> jax.Array:
        """All layers of the given nodes, [K + 1, R, D]."""
        return self.layer_rows(params, rows, graph, ctx, self.config.num_layers)

    def encoder_layers(self, rows: jax.Array) -> jax.Array:
        """The same layers."""
        return rows

    def loss_from_rows(
        self, params: Params, rows: jax.Array, batch: Batch, ctx: Context, rng: jax.Array
    ) -> dict[str, jax.Array]:
        """BPR over combined embeddings and L2 of the ego embeddings (Eq. 15); rows: [K + 1, 3B, D] of `batch_nodes`."""
        weights = jnp.asarray(combine_weights(self.config.combine, self.config.num_layers), rows.dtype)
        combined = jnp.einsum("k,krd->rd", weights, rows)  # Eq. 8
        users, positives, negatives = jnp.split(combined, 3)
        ego = rows[0].reshape(3, -1, rows.shape[-1])
        return {
            "bpr": bpr_loss(users, positives, negatives, batch["mask"]),
            "l2": self.config.regularization * half_squared_norm(ego, batch["mask"]),
        }

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 15 over one batch."""
        rows = self.training_rows(params, self.batch_nodes(batch), self.training_graph(ctx, rng), ctx)
        parts = self.loss_from_rows(params, rows, batch, ctx, rng)
        return LossOutput(parts["bpr"] + parts["l2"], parts, extra)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Combined embeddings of users [U, D] and items [I, D], over the whole graph."""
        nodes = propagate(
            params["nodes"]["embedding"],
            ctx.graph,
            num_layers=self.config.num_layers,
            combine=self.config.combine,
            mesh=ctx.mesh,
        )
        return nodes[: self.num_users], nodes[self.num_users :]

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D]."""
        return encoded[0][batch["user_ids"]][:, None, :]

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return ItemVectors(encoded[1], jnp.zeros(self.num_items))
