"""LMMRec: motivations read from text, aligned with motivations learned from the interaction graph.

Di et al., "LMMRec: LLM-driven Motivation-aware Multimodal Recommendation". A plug-in for a graph model: the base's own
full loss stays, and two parts stand beside it. Scores are the base's alone; text acts through gradients.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Encoded, Extra, ItemVectors, LossOutput, Params
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
    """Weight in the total loss."""
    temperature: float = 0.2
    """Temperature of the contrast."""


@dataclasses.dataclass(frozen=True)
class CorrespondenceConfig:
    """Interaction-text correspondence (Eq. 9): similarities as a slowly moving teacher sees them."""

    weight: float = 1e-2
    """Weight in the total loss (gamma of Eq. 10)."""
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
        coordination, corresponding = self.coordination, self.correspondence
        rules = (
            ("num_prototypes", self.num_prototypes, self.num_prototypes >= 1, "1 or more"),
            ("regularization", self.regularization, self.regularization >= 0, "0 or more"),
            ("coordination.weight", coordination.weight, coordination.weight >= 0, "0 or more"),
            ("coordination.temperature", coordination.temperature, coordination.temperature > 0, "above 0"),
            ("correspondence.weight", corresponding.weight, corresponding.weight >= 0, "0 or more"),
            (
                "correspondence.student_temperature",
                corresponding.student_temperature,
                corresponding.student_temperature > 0,
                "above 0",
            ),
            (
                "correspondence.teacher_temperature",
                corresponding.teacher_temperature,
                corresponding.teacher_temperature > 0,
                "above 0",
            ),
            (
                "correspondence.momentum",
                corresponding.momentum,
                0 <= corresponding.momentum <= 1,
                "from 0 to 1",
            ),
        )
        for field, found, holds, allowed in rules:
            if not holds:
                raise UserError(f"model.{field}: found {found}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class _Views:
    """Both views of a batch, users, positive and negative items in turn: [3, B, D] each."""

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
    def base(self) -> LightGCN:
        """The graph model that scores."""
        return LightGCN(self.config.base, self.num_users, self.num_items)

    @property
    def _tower(self) -> TextTower:
        return TextTower(self.config.dim)

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; the teacher begins as a copy of them."""
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
        return params, {"teacher": jax.tree.map(jnp.copy, params)}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 10 with the base's loss in it: L = L_base + w L_MCS + gamma L_ICM + lambda |Phi|^2."""
        config = self.config
        # The teacher follows the parameters as they are before this step, that is after the last one: the same as
        # moving it behind the optimiser. In the first step both are equal.
        teacher = follow(extra["teacher"], params, config.correspondence.momentum)
        graph = self.base.training_graph(ctx, rng)
        nodes = self.base.batch_nodes(batch)
        layers = self.base.layer_rows(params["base"], nodes, graph, ctx, config.base.num_layers)
        parts = self.base.loss_from_layers(layers, batch)

        mask = batch["mask"][None, :] & self._text_mask(nodes, ctx).reshape(3, -1)
        ids = nodes.reshape(3, -1)
        views = self._views(params, nodes, layers[:-1], ctx)
        taught_layers = self.base.layer_rows(teacher["base"], nodes, graph, ctx, config.base.num_layers - 1)
        taught = self._views(teacher, nodes, taught_layers, ctx)

        # Eq. 8: users, active (positive) and passive (negative) items, each with its own text.
        parts["coordination"] = config.coordination.weight * sum(
            info_nce(views.graph[part], views.text[part], ids[part], mask[part], config.coordination.temperature)
            for part in range(3)
        )
        # Eq. 9, for users and positive items.
        parts["correspondence"] = (
            config.correspondence.weight
            * 0.5
            * sum(
                correspondence(
                    (views.text[part], views.graph[part]),
                    (taught.text[part], taught.graph[part]),
                    ids[part],
                    mask[part],
                    config.correspondence.student_temperature,
                    config.correspondence.teacher_temperature,
                )
                for part in range(2)
            )
        )
        parts["norm"] = config.regularization * squared_norm(params)
        total = sum(parts.values(), jnp.zeros(()))
        return LossOutput(total, parts, {"teacher": teacher})

    def _views(self, params: Params, nodes: jax.Array, layers: jax.Array, ctx: Context) -> _Views:
        """Prototype view (Eq. 5 and 6, mean over the layers 0 .. K-1) and text view (Eq. 3) of the batch's nodes.

        layers: [K, 3B, D]. The last layer is left out, as the paper's nearest ancestor does.
        """
        num_layers, _, dim = layers.shape
        rows = split_rows(layers.reshape(num_layers, 3, -1, dim), ctx.mesh, axis=2)
        users = express(rows[:, :1], params["user_prototypes"]["prototypes"])
        items = express(rows[:, 1:], params["item_prototypes"]["prototypes"])
        graph = jnp.concatenate([users, items], axis=1).mean(axis=0)
        text = self._tower.apply({"params": params["text_tower"]}, self._text_rows(params, nodes, ctx))
        return _Views(graph, jnp.asarray(text))

    def _text_rows(self, params: Params, nodes: jax.Array, ctx: Context) -> jax.Array:
        """Text vectors of the batch's nodes, [3, B, T]."""
        if not self.config.needs_text:
            return split_rows(params["text"]["embedding"][nodes.reshape(3, -1)], ctx.mesh, axis=1)
        assert ctx.user_text is not None
        assert ctx.item_text is not None
        users, items = nodes.reshape(3, -1)[:1], nodes.reshape(3, -1)[1:] - self.num_users
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
