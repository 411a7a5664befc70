"""PolyCF in embedding form: a learned polynomial over several normalisations of the interaction graph.

Qin et al., "PolyCF: Towards the Optimal Spectral Graph Filters for Collaborative Filtering" (arXiv 2401.12590), filters
interaction signals with generalised Gram filters; no code of it is public. This is a reconstruction with free
embeddings, E = sum over gamma and k of theta[gamma, k] P_gamma^k E0, on which LMMRec can stand. k runs from 1: over
signals the term k = 0 says nothing of items not yet seen, over free embeddings it learns the training pairs by heart.
The filter over signals is jaxrec.models.polycf_signal.

P_gamma = D^-gamma A D^(gamma-1) = D^(1/2-gamma) A' D^(gamma-1/2) with LightGCN's symmetric A'. So its powers are those
of A' between two diagonals, and one propagation serves every gamma: scaled copies side by side in the feature axis.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.lightgcn import Encoded, LightGCN, LightGCNConfig
from jaxrec.nn.graph import Graph
from jaxrec.nn.losses import bpr_loss, half_squared_norm
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules
from jaxrec.nn.propagation import propagate, propagate_rows

SYMMETRIC = 0.5
"""The exponent whose P is LightGCN's."""


@dataclasses.dataclass(frozen=True)
class PolyCFConfig:
    """Settings of PolyCF in embedding form."""

    name: ClassVar[str] = "polycf"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    dim: int = 64
    """Width of the embeddings."""
    num_layers: int = 3
    """Degree of the polynomial, K."""
    exponents: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Exponent gamma of the receiver's degree in each normalisation; the sender's is 1 - gamma."""
    identity: bool = False
    """Whether the embeddings themselves, k = 0, are a term: training drives theta to it, as it fits pairs best."""
    regularization: float = 1e-4
    """Weight of half the squared norm of the batch's ego embeddings and of theta."""
    edge_dropout: float = 0.0
    """Share of edges left out in each step."""
    init_std: float = 0.1
    """Standard deviation of the first embeddings."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        self.encoder.validate(prefix)
        check_exponents(self.exponents, prefix)

    @property
    def encoder(self) -> LightGCNConfig:
        """LightGCN with the same embeddings."""
        return LightGCNConfig(
            self.dim,
            self.num_layers,
            regularization=self.regularization,
            edge_dropout=self.edge_dropout,
            init_std=self.init_std,
        )


def check_exponents(exponents: tuple[float, ...], prefix: str) -> None:
    """Raise UserError unless there are some, each once, from 0 to 1."""
    if not exponents or len(set(exponents)) < len(exponents) or not all(0 <= gamma <= 1 for gamma in exponents):
        raise UserError(f"{prefix}.exponents: found {exponents}, allowed: one or more from 0 to 1, each once")


def degree_scales(graph: Graph, exponents: tuple[float, ...]) -> jax.Array:
    """degree^(gamma - 1/2) of every node under the whole graph, [N, G] float32; 1 for a node without edges."""
    degrees = jnp.concatenate([jnp.diff(jnp.asarray(graph.user_indptr)), jnp.diff(jnp.asarray(graph.item_indptr))])
    # A node without edges has the term k = 0 alone, where the two diagonals cancel.
    powers = jnp.asarray(exponents, jnp.float32) - SYMMETRIC
    return jnp.maximum(degrees, 1).astype(jnp.float32)[:, None] ** powers[None, :]


@dataclasses.dataclass(frozen=True)
class PolyCF:
    """The model's functions over plain parameters.

    {"nodes": {"embedding": [U + I, D]}, "filter": {"coefficients": [G, K], with the identity [G, K + 1]}}; users come
    first. theta is the coefficients over their number: they begin at 1, so that the filter begins as the mean over
    normalisations and powers, and are of the size that an optimiser's step is made for.
    """

    config: PolyCFConfig
    num_users: int
    num_items: int

    @property
    def encoder(self) -> LightGCN:
        """LightGCN over the same embeddings."""
        return LightGCN(self.config.encoder, self.num_users, self.num_items)

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters: every normalisation and every power alike."""
        params, extra = self.encoder.init(rng, ctx)
        shape = (len(self.config.exponents), self.config.num_layers + self.config.identity)
        return params | {"filter": {"coefficients": jnp.ones(shape)}}, extra

    def theta(self, params: Params) -> jax.Array:
        """Weight of every power of every normalisation, [G, K + 1]; 0 for k = 0 without the identity."""
        coefficients = params["filter"]["coefficients"]
        return jnp.pad(coefficients / coefficients.size, ((0, 0), (0 if self.config.identity else 1, 0)))

    def batch_nodes(self, batch: Batch) -> jax.Array:
        """Nodes of users, positive and negative items, one after the other: [3B] int32."""
        return self.encoder.batch_nodes(batch)

    def training_graph(self, ctx: Context, rng: jax.Array) -> Graph:
        """The graph of one step, after edge dropout."""
        return self.encoder.training_graph(ctx, rng)

    def layer_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context, num_layers: int) -> jax.Array:
        """LightGCN's layers at the given nodes, [num_layers + 1, R, D]."""
        return self.encoder.layer_rows(params, rows, graph, ctx, num_layers)

    def training_rows(self, params: Params, rows: jax.Array, graph: Graph, ctx: Context) -> jax.Array:
        """P_gamma^k E0 at the given nodes, [K + 1, R, D, G]; LightGCN's layers last where no exponent gives them."""
        exponents = self.config.exponents
        return self._power_rows(params, rows, graph, ctx, exponents + (SYMMETRIC,) * (SYMMETRIC not in exponents))

    def encoder_layers(self, rows: jax.Array) -> jax.Array:
        """LightGCN's layers among them, [K + 1, R, D]."""
        exponents = self.config.exponents
        return rows[..., exponents.index(SYMMETRIC) if SYMMETRIC in exponents else -1]

    def _power_rows(
        self, params: Params, rows: jax.Array, graph: Graph, ctx: Context, exponents: tuple[float, ...]
    ) -> jax.Array:
        table = params["nodes"]["embedding"]
        scales = degree_scales(graph, exponents)
        # The feature is the slow one of the two folded axes, so that each device keeps the features that it has.
        folded = (table[:, :, None] * scales[:, None, :]).reshape(len(table), -1)
        layers = propagate_rows(folded, graph, rows, num_layers=self.config.num_layers, mesh=ctx.mesh)
        return layers.reshape(*layers.shape[:2], -1, len(exponents)) / scales[rows][None, :, None, :]

    def loss_from_rows(
        self, params: Params, rows: jax.Array, batch: Batch, ctx: Context, rng: jax.Array
    ) -> dict[str, jax.Array]:
        """BPR over filtered embeddings and L2; rows: [K + 1, 3B, D, G] of `batch_nodes`.

        Theta is in L2 too, since small embeddings behind a large theta would cost nothing.
        """
        theta = self.theta(params)
        filtered = jnp.einsum("gk,krdg->rd", theta, rows[..., : len(theta)])
        users, positives, negatives = jnp.split(filtered, 3)
        ego = rows[0, :, :, 0].reshape(3, -1, rows.shape[2])
        squares = half_squared_norm(ego, batch["mask"]) + 0.5 * (theta * theta).sum()
        return {
            "bpr": bpr_loss(users, positives, negatives, batch["mask"]),
            "l2": self.config.regularization * squares,
        }

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Ranking loss and regularization of one batch."""
        graph = self.training_graph(ctx, rng)
        rows = self._power_rows(params, self.batch_nodes(batch), graph, ctx, self.config.exponents)
        parts = self.loss_from_rows(params, rows, batch, ctx, rng)
        return LossOutput(parts["bpr"] + parts["l2"], parts, extra)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Filtered embeddings of users [U, D] and items [I, D], over the whole graph."""
        table = params["nodes"]["embedding"]
        scales = degree_scales(ctx.graph, self.config.exponents)
        filtered = jnp.zeros_like(table)
        for gamma, weights in enumerate(self.theta(params)):
            scale = scales[:, gamma, None]
            powers = propagate(
                table * scale, ctx.graph, num_layers=self.config.num_layers, layer_weights=weights, mesh=ctx.mesh
            )
            filtered += powers / scale
        return filtered[: self.num_users], filtered[self.num_users :]

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D]."""
        return self.encoder.user_vectors(encoded, batch)

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return self.encoder.item_vectors(encoded)
