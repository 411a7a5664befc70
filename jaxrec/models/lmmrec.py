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
from jaxrec.nn.contrast import correspondence, info_nce
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.losses import squared_norm
from jaxrec.nn.momentum import follow
from jaxrec.nn.prototypes import PrototypeBank, express
from jaxrec.nn.sharding import split_rows
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
            found = operator.attrgetter(field)(self)
            if not holds(found):
                raise UserError(f"model.{field}: found {found}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class _Views:
    """Both views of a batch's users, positive items and (for the student) negative items: [S, B, D] each."""

    graph: jax.Array
    text: jax.Array


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

    @property
    def _tower(self) -> TextTower:
        return TextTower(self.config.dim)

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
        params["text_tower"] = self._tower.init(tower_rng, jnp.zeros((1, width)))["params"]
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
        mask = batch["mask"][None, :] & self._text_mask(nodes, ctx).reshape(3, -1)
        views = self._views(params, ids, layers[:-1], ctx)
        if config.coordination.weight > 0:
            parts["coordination"] = config.coordination.weight * self._coordination(views, ids, mask)
        if config.correspondence.weight > 0:
            # The teacher follows the parameters as they are before this step, that is after the last one: the same
            # as moving it behind the optimiser. In the first step both are equal.
            teacher = follow(extra["teacher"], params, config.correspondence.momentum)
            extra = {"teacher": teacher}
            # Users and positive items alone, on the student's graph, dropped edges too: equal towers agree exactly.
            taught_ids = ids[:2]
            taught_layers = self.base.layer_rows(
                teacher["base"], taught_ids.reshape(-1), graph, ctx, config.base.num_layers - 1
            )
            taught = self._views(teacher, taught_ids, taught_layers, ctx)
            parts["correspondence"] = config.correspondence.weight * self._correspondence(views, taught, ids, mask)
        parts["norm"] = config.regularization * squared_norm(params)
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def _coordination(self, views: _Views, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Eq. 8: users, active (positive) and passive (negative) items, each with its own text."""
        temperature = self.config.coordination.temperature
        terms = [info_nce(views.graph[s], views.text[s], ids[s], mask[s], temperature) for s in range(3)]
        return terms[0] + terms[1] + terms[2]

    def _correspondence(self, views: _Views, taught: _Views, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Eq. 9, the mean over users and positive items."""
        config = self.config.correspondence
        users, items = (
            correspondence(
                (views.text[s], views.graph[s]),
                (taught.text[s], taught.graph[s]),
                ids[s],
                mask[s],
                config.student_temperature,
                config.teacher_temperature,
            )
            for s in range(2)
        )
        return 0.5 * (users + items)

    def _views(self, params: Params, nodes: jax.Array, layers: jax.Array, ctx: Context) -> _Views:
        """Prototype view (Eq. 5 and 6, mean over the layers 0 .. K-1) and text view (Eq. 3) of nodes [S, B].

        S sets: users, then items. layers: [K, S * B, D]. The last layer is left out, as the paper's nearest ancestor
        (IRLLRec) does.
        """
        num_layers, _, dim = layers.shape
        rows = split_rows(layers.reshape(num_layers, len(nodes), -1, dim), ctx.mesh, axis=2)
        users = express(rows[:, :1], params["user_prototypes"]["prototypes"])
        items = express(rows[:, 1:], params["item_prototypes"]["prototypes"])
        graph = jnp.concatenate([users, items], axis=1).mean(axis=0)
        text = self._tower.apply({"params": params["text_tower"]}, self._text_rows(params, nodes, ctx))
        return _Views(graph, jnp.asarray(text))

    def _text_rows(self, params: Params, nodes: jax.Array, ctx: Context) -> jax.Array:
        """Text vectors of nodes [S, B], users first: [S, B, T]."""
        if not self.config.needs_text:
            return split_rows(params["text"]["embedding"][nodes], ctx.mesh, axis=1)
        assert ctx.user_text is not None
        assert ctx.item_text is not None
        users, items = nodes[:1], nodes[1:] - self.num_users
        return split_rows(jnp.concatenate([ctx.user_text[users], ctx.item_text[items]]), ctx.mesh, axis=1)

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
