"""WeightedGCL: LightGCN with a contrast between two noisy views, whose features are weighted by squeeze and excitation.

Chen et al., "Squeeze and Excitation: A Weighted Graph Contrastive Learning for Collaborative Filtering", SIGIR 2025
(arXiv 2504.04443). Noise stands at the last layer alone, so a view is the batch's rows with noise added: no propagation
beyond LightGCN's. Scores are LightGCN's; noise and weights act through gradients.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax.linen.initializers import xavier_uniform

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.lightgcn import Encoded, LightGCN, LightGCNConfig
from jaxrec.nn.contrast import MIN_TEMPERATURE, normalize, similarities
from jaxrec.nn.excitation import Excitation
from jaxrec.nn.graph import Graph
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules
from jaxrec.nn.propagation import Combine, combine_weights
from jaxrec.nn.sharding import Axes, all_rows, first_row, over_rows, sum_over_rows


@dataclasses.dataclass(frozen=True)
class WeightedGCLConfig:
    """Settings of WeightedGCL; the defaults are those of the paper's public code."""

    name: ClassVar[str] = "weightedgcl"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    dim: int = 64
    """Width of the embeddings."""
    num_layers: int = 2
    """Layers of propagation."""
    combine: Combine = "mean_no_ego"
    """How the layers become one embedding; the public code leaves the ego layer out, the paper's formula does not."""
    regularization: float = 1e-4
    """Weight of half the squared norm of the batch's ego embeddings."""
    contrast_weight: float = 1e-3
    """Weight of the contrast, a sum over the batch's nodes as in the paper: twice the batch, twice the part; 0: none"""
    temperature: float = 0.2
    """Temperature of the contrast."""
    noise: float = 0.1
    """Length of the noise that is added to each row of the last layer."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("num_layers", self.num_layers >= 1, "1 or more"),
            ("regularization", self.regularization >= 0, "0 or more"),
            ("contrast_weight", self.contrast_weight >= 0, "0 or more"),
            ("temperature", self.temperature >= MIN_TEMPERATURE, f"{MIN_TEMPERATURE} or more"),
            ("noise", self.noise >= 0, "0 or more"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")


def noise_directions(rng: jax.Array, nodes: jax.Array, dim: int) -> jax.Array:
    """A vector of U[0, 1)^d scaled to unit length for each node and each of two views: nodes [...] -> [2, ..., D].

    A function of the key and the node: a node has the same noise wherever and however often a batch holds it.
    """

    def of_node(node: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(rng, node), (2, dim))

    draws = jax.vmap(of_node)(nodes.reshape(-1))
    return jnp.moveaxis(normalize(draws), 1, 0).reshape(2, *nodes.shape, dim)


def _first_of_each(nodes: jax.Array, mask: jax.Array, num_nodes: int) -> jax.Array:
    """Which real row holds a node that no real row before it holds, [R] bool."""
    rows = jnp.arange(nodes.shape[0])
    first = jnp.full(num_nodes, nodes.shape[0]).at[jnp.where(mask, nodes, num_nodes)].min(rows, mode="drop")
    return mask & (first[nodes] == rows)


def _log_sum_exp(logits: jax.Array, allowed: jax.Array) -> jax.Array:
    """log of the sum of exp over the allowed candidates, [R, C], [C] bool -> [R]; finite where none is allowed.

    The general one reads the pairs twice as often: the largest of all candidates is as good a bound as that of the
    allowed ones, since they are all cosines.
    """
    largest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    total = jnp.exp(jnp.where(allowed[None, :], logits - largest, -jnp.inf)).sum(axis=-1)
    return jnp.log(jnp.maximum(total, jnp.finfo(total.dtype).tiny)) + largest[:, 0]


@dataclasses.dataclass(frozen=True)
class WeightedGCL:
    """The model's functions over plain parameters {"nodes": {"embedding": [U + I, D]}, "excitation": three layers}."""

    config: WeightedGCLConfig
    num_users: int
    num_items: int

    @property
    def encoder(self) -> LightGCN:
        """What propagates, scores and has the ranking loss."""
        config = self.config
        return LightGCN(
            LightGCNConfig(config.dim, config.num_layers, config.combine, config.regularization),
            self.num_users,
            self.num_items,
        )

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters, Xavier-uniform, users and items apart; there is no extra state."""
        user_rng, item_rng, excitation_rng = jax.random.split(rng, 3)
        xavier, dim = xavier_uniform(), self.config.dim
        tables = [xavier(user_rng, (self.num_users, dim)), xavier(item_rng, (self.num_items, dim))]
        return {
            "nodes": {"embedding": jnp.concatenate(tables)},
            "excitation": Excitation().init(excitation_rng, jnp.zeros((1, dim)))["params"],
        }, {}

    def batch_nodes(self, batch: Batch) -> jax.Array:
        """Nodes of users, positive and negative items, one after the other: [3B] int32."""
        return self.encoder.batch_nodes(batch)

    def training_graph(self, ctx: Context, rng: jax.Array) -> Graph:
        """The graph as it is."""
        return self.encoder.training_graph(ctx, rng)

    def layer_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context, num_layers: int) -> jax.Array:
        """LightGCN's layers at the given nodes, [num_layers + 1, R, D]."""
        return self.encoder.layer_rows(params, rows, graph, ctx, num_layers)

    def training_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context) -> jax.Array:
        """All layers of the given nodes, [K + 1, R, D]."""
        return self.encoder.training_rows(params, rows, graph, ctx)

    def encoder_layers(self, rows: jax.Array) -> jax.Array:
        """The same layers."""
        return rows

    def loss_from_rows(
        self, params: Params, rows: jax.Array, batch: Batch, ctx: Context, rng: jax.Array
    ) -> dict[str, jax.Array]:
        """LightGCN's parts, and the contrast of the batch's users and positive items; rows: [K + 1, 3B, D]."""
        config = self.config
        parts = self.encoder.loss_from_rows(params, rows, batch, ctx, rng)
        if config.contrast_weight > 0:
            layers = rows.reshape(rows.shape[0], 3, -1, config.dim)[:, :2]
            weights = jnp.asarray(combine_weights(config.combine, config.num_layers), rows.dtype)
            combined = jnp.einsum("k,ksrd->srd", weights, layers)
            nodes = self.batch_nodes(batch).reshape(3, -1)[:2]
            # Each device takes some rows of the batch with all their features.
            contrast = over_rows(self._contrast, ctx.mesh, nodes.shape[1], (None, 1, 1, None, None, None))
            total = contrast(params["excitation"], combined, layers[-1], nodes, batch["mask"], rng)
            parts["contrast"] = config.contrast_weight * total
        return parts

    def _contrast(
        self,
        excitation: Params,
        combined: jax.Array,
        last: jax.Array,
        nodes: jax.Array,
        mask: jax.Array,
        rng: jax.Array,
        axes: Axes,
    ) -> jax.Array:
        """InfoNCE of view one against view two, summed over the batch's users and positive items, each node once.

        combined, last: [2, R, D], this device's rows of the sets users and items; nodes [2, B] and mask [B] whole.
        """
        config = self.config
        num_rows = combined.shape[1]
        start = first_row(axes, num_rows)
        row_nodes = jax.lax.dynamic_slice_in_dim(nodes, start, num_rows, axis=1)
        # Noise at the last layer reaches a view through that layer's weight in the combination.
        share = combine_weights(config.combine, config.num_layers)[-1] * config.noise
        noisy = combined[None] + share * jnp.sign(last)[None] * noise_directions(rng, row_nodes, config.dim)
        weights = jnp.asarray(Excitation().apply({"params": excitation}, noisy))
        rows, candidates = normalize(noisy * weights)  # [2, R, D] each: view one and view two
        rows = rows / config.temperature  # here, as it would cost a pass over all pairs there
        own = (rows * candidates).sum(-1)
        candidates = all_rows(candidates, axes, axis=1)
        total = jnp.zeros(())
        for s in range(2):
            once = _first_of_each(nodes[s], mask, self.num_users + self.num_items)
            row_once = jax.lax.dynamic_slice_in_dim(once, start, num_rows)
            each = _log_sum_exp(similarities(rows[s], candidates[s], 1.0), once) - own[s]
            total += jnp.where(row_once, each, 0.0).sum()
        return sum_over_rows(total, axes)

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Ranking loss, regularization and contrast of one batch."""
        rows = self.training_rows(params, self.batch_nodes(batch), self.training_graph(ctx, rng), ctx)
        parts = self.loss_from_rows(params, rows, batch, ctx, rng)
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Combined embeddings of users [U, D] and items [I, D], without noise or weights."""
        return self.encoder.encode(params, ctx)

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D]."""
        return self.encoder.user_vectors(encoded, batch)

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return self.encoder.item_vectors(encoded)
