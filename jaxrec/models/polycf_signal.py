"""PolyCF in signal form: each user's interactions, filtered by a learned polynomial of several Gram matrices.

Qin et al., "PolyCF: Towards the Optimal Spectral Graph Filters for Collaborative Filtering" (arXiv 2401.12590); no code
of it is public, and this is a reconstruction. With R the interactions [U, I] and r_u a row of it,

    s_u = r_u [ sum over gamma and k of theta[gamma, k] G_gamma^k + omega V V^T ]
    G_gamma = R_gamma^T R_gamma,  R_gamma = D_U^-gamma R D_I^(gamma-1)

V holds the first right singular vectors of R_1/2: an ideal low-pass filter. theta = 1 for k = 1, gamma = 1/2 alone is
the linear filter of GF-CF (Shen et al., CIKM 2021). theta and omega are learned by BPR over the sampled triples; the
graph optimization objective that the paper trains beside it is left out, since its formula is not known to us.

A user's filtered signal is computed when it is asked for: there are no user or item vectors, so the model scores by
itself, and LMMRec, which shares embeddings, cannot stand on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, LossOutput, Params
from jaxrec.models.polycf import check_exponents, degree_scales
from jaxrec.nn.graph import Graph, edges_of, weigh_edges
from jaxrec.nn.partition_rules import WHOLE, PartitionRules
from jaxrec.nn.propagation_backends import multiply
from jaxrec.nn.sharding import Axes, over_rows, sum_over_rows


@dataclasses.dataclass(frozen=True)
class PolyCFSignalConfig:
    """Settings of PolyCF in signal form."""

    name: ClassVar[str] = "polycf_signal"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "data"
    partition_rules: ClassVar[PartitionRules] = WHOLE

    degree: int = 3
    """Degree of the polynomial, K."""
    exponents: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Exponent gamma of the user's degree in each normalisation; the item's is 1 - gamma."""
    num_singular_vectors: int = 256
    """Singular vectors that the ideal low-pass filter keeps; 0 leaves it out."""
    low_pass: float = 0.3
    """First value of omega, the weight of the ideal low-pass filter; GF-CF's."""
    hide_positives: bool = True
    """Take a batch's positive pairs out of the graph and of the signals, since seen by the filter they tell themselves.

    The singular vectors, which are computed once, still know them."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("degree", self.degree >= 1, "1 or more"),
            ("num_singular_vectors", self.num_singular_vectors >= 0, "0 or more"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")
        check_exponents(self.exponents, prefix)


@flax.struct.dataclass
class Encoded:
    """What scoring reads: graph, filter {"coefficients": [G, K + 1], "low_pass": []}, singular vectors [I, d]."""

    graph: Graph
    filter: Params
    singular_vectors: jax.Array | None


def gram_powers(graph: Graph, signals: jax.Array, exponents: tuple[float, ...], degree: int) -> Iterator[jax.Array]:
    """(G_gamma)^k x for k = 0 .. degree, each [I, B, G]; signals x: [I, B] float32.

    With graph A' of symmetric normalisation, R' = R_1/2 is its upper half and R_gamma = D_U^(1/2-gamma) R'
    D_I^(gamma-1/2): all signals and exponents are columns of one sparse product.
    """
    num_signals, num_exponents = signals.shape[1], len(exponents)
    scales = degree_scales(graph, exponents)
    users_scale, items_scale = scales[: graph.num_users, None] ** -2, scales[graph.num_users :, None]
    powers = jnp.repeat(signals[:, :, None], num_exponents, axis=2)
    yield powers
    for _ in range(degree):
        users = _of_users(graph, (powers * items_scale).reshape(graph.num_items, -1))
        users = users.reshape(graph.num_users, num_signals, num_exponents) * users_scale
        items = _of_items(graph, users.reshape(graph.num_users, -1))
        powers = items.reshape(powers.shape) * items_scale
        yield powers


def interaction_signals(graph: Graph, user_ids: jax.Array) -> jax.Array:
    """r_u of the given users [B] as columns, [I, B] float32: 1 where the graph has an edge, weighted by its weight."""
    one_hot = jnp.zeros((graph.num_users, user_ids.shape[0])).at[user_ids, jnp.arange(user_ids.shape[0])].set(1.0)
    root = degree_scales(graph, (1.0,))  # degree^(1/2) undoes the normalisation of A'
    return _of_items(graph, one_hot * root[: graph.num_users]) * root[graph.num_users :]


# Compiled, the half that is not read is not computed either.
def _of_users(graph: Graph, items: jax.Array) -> jax.Array:
    return multiply(graph, (jnp.zeros((graph.num_users, items.shape[1])), items))[0]


def _of_items(graph: Graph, users: jax.Array) -> jax.Array:
    return multiply(graph, (users, jnp.zeros((graph.num_items, users.shape[1]))))[1]


def _low_pass(vectors: jax.Array, signals: jax.Array) -> jax.Array:
    """V^T x, [d, B]."""
    return jnp.matmul(vectors.T, signals, precision=jax.lax.Precision.HIGHEST)


@dataclasses.dataclass(frozen=True)
class PolyCFSignal:
    """The model's functions over plain parameters {"filter": {"coefficients": theta [G, K + 1], "low_pass": omega}}.

    omega is there only where the low-pass filter is.
    """

    config: PolyCFSignalConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters: every Gram matrix and every power alike; nothing is drawn, there is no extra state."""
        shape = (len(self.config.exponents), self.config.degree + 1)
        params = {"coefficients": jnp.full(shape, 1 / (shape[0] * shape[1]))}
        if self.config.num_singular_vectors:
            params["low_pass"] = jnp.full((), self.config.low_pass)
        return {"filter": params}, {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """BPR of one batch, from the filtered signals of its users at its items."""
        graph = ctx.graph
        if self.config.hide_positives:
            edges = edges_of(graph, batch["user_ids"], batch["item_ids"])
            hidden = jnp.where(batch["mask"], edges, graph.num_edges)
            graph = weigh_edges(graph, jnp.ones(graph.num_edges).at[hidden].set(0.0, mode="drop"))
        items = jnp.stack([batch["item_ids"], batch["negative_item_ids"]])
        # Each device filters the signals of its own rows.
        rows = over_rows(self._ranking_loss, ctx.mesh, items.shape[1], (None, None, None, 0, 1, 0))
        vectors = ctx.item_singular_vectors if self.config.num_singular_vectors else None
        total = rows(params["filter"], graph, vectors, batch["user_ids"], items, batch["mask"])
        parts = {"bpr": total / jnp.maximum(batch["mask"].sum(), 1)}
        return LossOutput(parts["bpr"], parts, extra)

    def _ranking_loss(
        self,
        weights: Params,
        graph: Graph,
        vectors: jax.Array | None,
        user_ids: jax.Array,
        items: jax.Array,
        mask: jax.Array,
        axes: Axes,
    ) -> jax.Array:
        """Sum of softplus(s(u, j) - s(u, i)) over the real rows; items: [2, R], positive and negative."""
        signals = interaction_signals(graph, user_ids)
        columns = jnp.arange(user_ids.shape[0])[None, :]
        scores = jnp.zeros(items.shape)
        # The powers do not depend on parameters, so that no product is differentiated: theta weighs what was read.
        for k, powers in enumerate(gram_powers(graph, signals, self.config.exponents, self.config.degree)):
            scores += powers[items, columns] @ weights["coefficients"][:, k]
        if vectors is not None:
            low = (vectors[items] * _low_pass(vectors, signals).T[None]).sum(-1)
            scores += weights["low_pass"] * low
        return sum_over_rows(jnp.where(mask, jax.nn.softplus(scores[1] - scores[0]), 0.0).sum(), axes)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Graph, filter and singular vectors: a signal is filtered when it is scored."""
        vectors = ctx.item_singular_vectors if self.config.num_singular_vectors else None
        return Encoded(ctx.graph, params["filter"], vectors)

    def score(self, encoded: Encoded, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        """s_u of the batch's users at the items [B, C], or at all of them: [B, C] float32."""
        graph, weights = encoded.graph, encoded.filter
        signals = interaction_signals(graph, batch["user_ids"])
        total = jnp.zeros_like(signals)
        for k, powers in enumerate(gram_powers(graph, signals, self.config.exponents, self.config.degree)):
            total += powers @ weights["coefficients"][:, k]
        if encoded.singular_vectors is not None:
            low = _low_pass(encoded.singular_vectors, signals)
            total += weights["low_pass"] * _low_pass(encoded.singular_vectors.T, low)
        return total.T if item_ids is None else jnp.take_along_axis(total.T, item_ids, axis=1)

    def score_floats(self, encoded: Encoded) -> int:
        """Numbers that `score` holds for each user: both sides of a product, before and after, for every exponent."""
        graph, num_nodes = encoded.graph, self.num_users + self.num_items
        chunks = [rows.senders.shape[1] for rows in (graph.user_chunks, graph.item_chunks) if rows is not None]
        return len(self.config.exponents) * (2 * num_nodes + 2 * sum(chunks)) + 2 * self.num_items
