"""LMMRec: motivations read from text, aligned with motivations learned from the interaction graph.

Di et al., "LMMRec: LLM-driven Motivation-aware Multimodal Recommendation". A plug-in for a graph model: the base's own
full loss stays, and two parts stand beside it. Scores are the base's alone; text acts through gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Encoded, Extra, ItemVectors, LayeredModel, LossOutput, Params
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.models.lmmrec_config import CoordinationConfig, CorrespondenceConfig, LMMRecConfig
from jaxrec.models.polycf import PolyCF, PolyCFConfig
from jaxrec.models.weightedgcl import WeightedGCL, WeightedGCLConfig
from jaxrec.nn.alignment import candidates, coordination, correspondence, cosines
from jaxrec.nn.contrast import normalize
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.losses import squared_norm
from jaxrec.nn.momentum import follow
from jaxrec.nn.prototypes import PrototypeBank, express
from jaxrec.nn.sharding import Axes, by_feature, over_rows, sum_over_rows
from jaxrec.nn.text_tower import TextTower

__all__ = ["CoordinationConfig", "CorrespondenceConfig", "LMMRec", "LMMRecConfig"]

_BASES: dict[type, Callable[..., LayeredModel]] = {
    LightGCNConfig: LightGCN,
    WeightedGCLConfig: WeightedGCL,
    PolyCFConfig: PolyCF,
}
_Side = tuple[Params, jax.Array, jax.Array]
"""What one of student and teacher sees: prototypes and tower, layers [K, S, R, D], text vectors [S, R, T]."""
_Parts = dict[str, jax.Array]


def _heads(params: Params) -> Params:
    """The parameters behind the propagation: small, and whole on every device."""
    return {name: params[name] for name in ("user_prototypes", "item_prototypes", "text_tower")}


@dataclasses.dataclass(frozen=True)
class LMMRec:
    """The model's functions over plain parameters.

    {"base": the base's own, "user_prototypes", "item_prototypes": {"prototypes": [P, D]}, "text_tower": Eq. 3,
    and where text is learned "text": {"embedding": [U + I, D]}}. Extra state: {"teacher": a copy of all of it}.
    """

    config: LMMRecConfig
    num_users: int
    num_items: int

    @property
    def base(self) -> LayeredModel:
        """The graph model that scores."""
        return _BASES[type(self.config.base)](self.config.base, self.num_users, self.num_items)

    @property
    def num_motivation_layers(self) -> int:
        """Layers of propagation behind the last prototypes: K - 1, or none without a graph encoder.

        p is the mean over the layers 0 .. K-1: the last is left out, as the paper's nearest ancestor (IRLLRec) does.
        """
        return self.config.base.num_layers - 1 if self.config.graph_encoder == "lightgcn" else 0

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; the teacher begins as a copy of them, or is absent where nothing asks for it."""
        base_rng, user_rng, item_rng, tower_rng, text_rng = jax.random.split(rng, 5)
        bank = PrototypeBank(self.config.num_prototypes, self.config.dim)
        params = {
            "base": self.base.init(base_rng, ctx)[0],
            "user_prototypes": bank.init(user_rng)["params"],
            "item_prototypes": bank.init(item_rng)["params"],
        }
        if self.config.needs_text:
            assert ctx.item_text is not None
            width = ctx.item_text.shape[1]
        else:
            width = self.config.dim
            params["text"] = EmbeddingTable(self.num_users + self.num_items, width, 0.1).init(text_rng)["params"]
        params["text_tower"] = TextTower(self.config.dim).init(tower_rng, jnp.zeros((1, width)))["params"]
        if self.config.correspondence.weight == 0:
            return params, {}
        return params, {"teacher": jax.tree.map(jnp.copy, params)}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 10 with the base's loss in it: L = L_base + w L_MCS + gamma L_ICM + lambda |Phi|^2."""
        config = self.config
        graph = self.base.training_graph(ctx, rng)
        nodes = self.base.batch_nodes(batch)
        rows = self.base.training_rows(params["base"], nodes, graph, ctx)
        own_parts = self.base.loss_from_rows(params["base"], rows, batch, ctx, rng)
        parts = {name: config.base_weight * part for name, part in own_parts.items()}
        ids = nodes.reshape(3, -1)
        teacher = None
        if config.correspondence.weight > 0:
            # The teacher follows the parameters as they are before this step, that is after the last one: the same
            # as moving it behind the optimiser. In the first step both are equal.
            taught = follow(extra["teacher"], params, config.correspondence.momentum)
            extra = {"teacher": taught}
            # Users and positive items alone, on the student's graph, dropped edges too: equal towers agree exactly.
            layers = self.base.layer_rows(taught["base"], ids[:2].reshape(-1), graph, ctx, self.num_motivation_layers)
            teacher = (
                _heads(taught),
                layers.reshape(-1, *ids[:2].shape, config.dim),
                self._text_rows(taught, ids[:2], ctx),
            )
        if config.coordination.weight > 0 or teacher is not None:
            layers = self.base.encoder_layers(rows)[: self.num_motivation_layers + 1]
            student = (_heads(params), layers.reshape(-1, *ids.shape, config.dim), self._text_rows(params, ids, ctx))
            mask = batch["mask"][None, :] & self._text_mask(nodes, ctx).reshape(3, -1)
            # Each device takes some rows of the batch with all their features: [K, S, B, D] layers, [S, B, T] text.
            side = (None, 2, 1)
            align = over_rows(self._align, ctx.mesh, ids.shape[1], (side, side if teacher else None, None, None))
            parts |= align(student, teacher, ids, mask)
        parts["norm"] = config.regularization * squared_norm(params)
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def _align(self, student: _Side, teacher: _Side | None, ids: jax.Array, mask: jax.Array, axes: Axes) -> _Parts:
        """Coordination (Eq. 7 and 8) and correspondence (Eq. 9), weighted; ids, mask: [3, B], whole everywhere."""
        config = self.config
        graph, text = self._views(*student)  # of users, positive and negative items: Eq. 8's three pairs
        by_student = cosines(graph, text, axes)
        among = candidates(ids, mask, graph.shape[1], axes)
        parts = {}
        if config.coordination.weight > 0:
            value = coordination(by_student, among, config.coordination.temperature)
            parts["coordination"] = config.coordination.weight * value
        if teacher is not None:
            views = self._views(*teacher, expressed=config.correspondence.teacher_view == "prototypes")
            by_teacher = cosines(*views, axes)
            temperatures = config.correspondence.teacher_temperature, config.correspondence.student_temperature
            value = correspondence(by_teacher, by_student, among, temperatures)
            parts["correspondence"] = config.correspondence.weight * value
        return sum_over_rows(parts, axes)

    def _views(
        self, heads: Params, layers: jax.Array, text: jax.Array, expressed: bool = True
    ) -> tuple[jax.Array, jax.Array]:
        """Graph view (Eq. 5 and 6, mean over the layers) and text view (Eq. 3), of unit length: [S, R, D] each.

        layers: [K, S, R, D], text: [S, R, T], S sets: users, then items. Not expressed: the encoder's layers
        themselves, without prototypes.
        """
        if expressed:
            users = express(layers[:, :1], heads["user_prototypes"]["prototypes"])
            items = express(layers[:, 1:], heads["item_prototypes"]["prototypes"])
            layers = jnp.concatenate([users, items], axis=1)
        projected = jnp.asarray(TextTower(self.config.dim).apply({"params": heads["text_tower"]}, text))
        return normalize(layers.mean(axis=0)), normalize(projected)

    def _text_rows(self, params: Params, nodes: jax.Array, ctx: Context) -> jax.Array:
        """Text vectors of nodes [S, B], users first: [S, B, T]."""
        if not self.config.needs_text:
            return by_feature(params["text"]["embedding"][nodes], ctx.mesh)
        assert ctx.user_text is not None
        assert ctx.item_text is not None
        users, items = nodes[:1], nodes[1:] - self.num_users
        return jnp.concatenate([ctx.user_text[users], ctx.item_text[items]])

    def _text_mask(self, nodes: jax.Array, ctx: Context) -> jax.Array:
        """Which of the batch's nodes have a text, [3B] bool: the others take part in the base's loss alone."""
        if not self.config.needs_text:
            return jnp.ones(nodes.shape, bool)
        assert ctx.user_text_mask is not None
        assert ctx.item_text_mask is not None
        return jnp.concatenate([ctx.user_text_mask, ctx.item_text_mask])[nodes]

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """The base's encoding."""
        return self.base.encode(params["base"], ctx)

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """The base's user vectors, [B, 1, D]."""
        return self.base.user_vectors(encoded, batch)

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """The base's item vectors."""
        return self.base.item_vectors(encoded)
