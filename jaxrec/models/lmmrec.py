"""LMMRec: motivations read from text, aligned with motivations learned from the interaction graph.

Di et al., "LMMRec: LLM-driven Motivation-aware Multimodal Recommendation". A plug-in for a graph model: the base's own
full loss stays, and two parts stand beside it. Scores are the base's alone; text acts through gradients.
"""

from __future__ import annotations

import dataclasses
import operator
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Encoded, Extra, ItemVectors, LayeredModel, LossOutput, Params
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.nn.contrast import comparable, divergence, info_nce, normalize, own_candidate, similarities
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.losses import squared_norm
from jaxrec.nn.momentum import follow
from jaxrec.nn.prototypes import PrototypeBank, express
from jaxrec.nn.sharding import Axes, all_rows, by_feature, first_row, over_rows, sum_over_rows
from jaxrec.nn.text_tower import TextTower


@dataclasses.dataclass(frozen=True)
class CoordinationConfig:
    """Motivation coordination (Eq. 7 and 8): a node's prototypes and its own text against other nodes' texts."""

    weight: float = 1e-2
    """Weight in the total loss; 0 leaves it out (the paper's w/o MCS)."""
    temperature: float = 0.2
    """Temperature of the contrast."""


@dataclasses.dataclass(frozen=True)
class CorrespondenceConfig:
    """Interaction-text correspondence (Eq. 9): similarities as a slowly moving teacher sees them."""

    weight: float = 1e-2
    """Weight in the total loss, gamma of Eq. 10; 0 leaves it and the teacher out (the paper's w/o ICM)."""
    student_temperature: float = 0.2
    """Temperature of the student's similarities."""
    teacher_temperature: float = 0.2
    """Temperature of the teacher's similarities."""
    momentum: float = 0.999
    """Share of itself that the teacher keeps in each step."""


@dataclasses.dataclass(frozen=True)
class LMMRecConfig:
    """Settings of LMMRec over LightGCN; where the paper is silent, the readings of its ancestors."""

    name: ClassVar[str] = "lmmrec"
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[tuple[tuple[str, PartitionSpec], ...]] = LightGCNConfig.partition_rules

    base: LightGCNConfig = dataclasses.field(default=LightGCNConfig(dim=32))
    """The graph model that scores."""
    num_prototypes: int = 128
    """Prototypes in each of the two banks, of users and of items."""
    coordination: CoordinationConfig = CoordinationConfig()
    """Weight and temperature of the coordination loss."""
    correspondence: CorrespondenceConfig = CorrespondenceConfig()
    """Weight, temperatures and momentum of the correspondence loss."""
    regularization: float = 1e-7
    """Weight of the squared norm of all parameters (Eq. 10)."""
    text_source: Literal["text", "learned", "auto"] = "text"
    """Text features; or learned vectors in their place (the paper's w/o TM); auto: text where there is some."""

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.base.dim

    @property
    def needs_text(self) -> bool:
        """Whether text features are read."""
        return self.text_source != "learned"

    def validate(self) -> None:
        """Raise UserError for a value that no data could make sense of."""
        self.base.validate("model.base")
        above_zero, from_zero = (lambda value: value > 0, "above 0"), (lambda value: value >= 0, "0 or more")
        rules = {
            "num_prototypes": (lambda value: value >= 1, "1 or more"),
            "regularization": from_zero,
            "coordination.weight": from_zero,
            "coordination.temperature": above_zero,
            "correspondence.weight": from_zero,
            "correspondence.student_temperature": above_zero,
            "correspondence.teacher_temperature": above_zero,
            "correspondence.momentum": (lambda value: 0 <= value <= 1, "from 0 to 1"),
        }
        for field, (holds, allowed) in rules.items():
            if not holds(found := operator.attrgetter(field)(self)):
                raise UserError(f"model.{field}: found {found}, allowed: {allowed}")


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
        return LightGCN(self.config.base, self.num_users, self.num_items)

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
            table = EmbeddingTable(self.num_users + self.num_items, width, self.config.base.init_std)
            params["text"] = table.init(text_rng)["params"]
        params["text_tower"] = TextTower(self.config.dim).init(tower_rng, jnp.zeros((1, width)))["params"]
        if self.config.correspondence.weight == 0:
            return params, {}
        return params, {"teacher": jax.tree.map(jnp.copy, params)}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 10 with the base's loss in it: L = L_base + w L_MCS + gamma L_ICM + lambda |Phi|^2."""
        config = self.config
        graph = self.base.training_graph(ctx, rng)
        nodes = self.base.batch_nodes(batch)
        layers = self.base.layer_rows(params["base"], nodes, graph, ctx, config.base.num_layers)
        parts = self.base.loss_from_layers(layers, batch)
        ids = nodes.reshape(3, -1)
        student = (_heads(params), layers[:-1].reshape(-1, *ids.shape, config.dim), self._text_rows(params, ids, ctx))
        teacher = None
        if config.correspondence.weight > 0:
            # The teacher follows the parameters as they are before this step, that is after the last one: the same
            # as moving it behind the optimiser. In the first step both are equal.
            taught = follow(extra["teacher"], params, config.correspondence.momentum)
            extra = {"teacher": taught}
            # Users and positive items alone, on the student's graph, dropped edges too: equal towers agree exactly.
            layers = self.base.layer_rows(
                taught["base"], ids[:2].reshape(-1), graph, ctx, config.base.num_layers - 1
            ).reshape(-1, *ids[:2].shape, config.dim)
            teacher = (_heads(taught), layers, self._text_rows(taught, ids[:2], ctx))
        if config.coordination.weight > 0 or teacher is not None:
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
        views = self._views(*student)  # [2, 3, R, D]: graph and text of users, positive and negative items
        num_rows = views.shape[2]
        first = first_row(axes, num_rows)
        if teacher is not None:
            views = jnp.concatenate([views, self._views(*teacher)], axis=1)  # [2, 5, R, D]
        graph, text = views
        all_graph, all_text = all_rows(views, axes, axis=2)
        own = own_candidate(num_rows, ids.shape[1], first)
        row_ids, row_mask = (jax.lax.dynamic_slice_in_dim(whole, first, num_rows, axis=1) for whole in (ids, mask))
        allowed = [comparable(row_ids[s], row_mask[s], ids[s], mask[s], own) for s in range(3)]

        def mean(values: jax.Array, s: int) -> jax.Array:
            """Mean over the real rows of a set; this device's share of it."""
            return jnp.where(row_mask[s], values, 0.0).sum() / jnp.maximum(mask[s].sum(), 1)

        parts = {}
        if config.coordination.weight > 0:
            # Eq. 8: users, active (positive) and passive (negative) items; each node's graph view against all texts.
            temperature = config.coordination.temperature
            each = [info_nce(similarities(graph[s], all_text[s], temperature), allowed[s], own) for s in range(3)]
            parts["coordination"] = config.coordination.weight * sum(mean(each[s], s) for s in range(3))
        if teacher is not None:
            # Eq. 9, the mean over users and positive items: text against graph, and graph against text.
            total = jnp.zeros(())
            for s in range(2):
                for rows, candidates in ((text, all_graph), (graph, all_text)):
                    by_student = similarities(rows[s], candidates[s], config.correspondence.student_temperature)
                    by_teacher = similarities(rows[3 + s], candidates[3 + s], config.correspondence.teacher_temperature)
                    total += mean(divergence(by_teacher, by_student, allowed[s]), s)
            parts["correspondence"] = config.correspondence.weight * 0.5 * total
        return sum_over_rows(parts, axes)

    def _views(self, heads: Params, layers: jax.Array, text: jax.Array) -> jax.Array:
        """Graph view (Eq. 5 and 6, mean over the layers 0 .. K-1) and text view (Eq. 3), of unit length: [2, S, R, D].

        layers: [K, S, R, D], text: [S, R, T], S sets: users, then items. The last layer is left out, as the paper's
        nearest ancestor (IRLLRec) does.
        """
        users = express(layers[:, :1], heads["user_prototypes"]["prototypes"])
        items = express(layers[:, 1:], heads["item_prototypes"]["prototypes"])
        graph = jnp.concatenate([users, items], axis=1).mean(axis=0)
        projected = jnp.asarray(TextTower(self.config.dim).apply({"params": heads["text_tower"]}, text))
        return normalize(jnp.stack([graph, projected]))

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
