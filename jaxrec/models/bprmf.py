"""BPR-MF: matrix factorisation under Bayesian personalised ranking (Rendle et al., UAI 2009)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.losses import bpr_loss, half_squared_norm
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules

Encoded = Params


@dataclasses.dataclass(frozen=True)
class BPRMFConfig:
    """Settings of BPR-MF."""

    name: ClassVar[str] = "bprmf"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    dim: int = 64
    """Width of the embeddings."""
    regularization: float = 1e-4
    """Weight of half the squared norm of the batch's embeddings."""
    item_bias: bool = False
    """Learn a bias for each item."""
    init_std: float = 0.1
    """Standard deviation of the first embeddings."""

    def validate(self) -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("regularization", self.regularization >= 0, "0 or more"),
            ("init_std", self.init_std > 0, "above 0"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"model.{field}: found {getattr(self, field)}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class BPRMF:
    """The model's functions over plain parameters {"users", "items": {"embedding": [n, D]}, "item_bias": [I]}.

    The bias is there only where the config asks for one.
    """

    config: BPRMFConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state."""
        user_rng, item_rng = jax.random.split(rng)
        users = EmbeddingTable(self.num_users, self.config.dim, self.config.init_std)
        items = EmbeddingTable(self.num_items, self.config.dim, self.config.init_std)
        params = {"users": users.init(user_rng)["params"], "items": items.init(item_rng)["params"]}
        if self.config.item_bias:
            params["item_bias"] = jnp.zeros(self.num_items)
        return params, {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """BPR and L2 over the batch; the bias is not regularised."""
        users = params["users"]["embedding"][batch["user_ids"]]
        both = jnp.concatenate([batch["item_ids"], batch["negative_item_ids"]])
        positives, negatives = jnp.split(params["items"]["embedding"][both], 2)
        bias = None
        if self.config.item_bias:
            positive_bias, negative_bias = jnp.split(params["item_bias"][both], 2)
            bias = negative_bias - positive_bias
        rows = jnp.stack([users, positives, negatives])
        parts = {
            "bpr": bpr_loss(users, positives, negatives, batch["mask"], bias),
            "l2": self.config.regularization * half_squared_norm(rows, batch["mask"]),
        }
        return LossOutput(parts["bpr"] + parts["l2"], parts, extra)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """The tables as they are."""
        return params

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D]."""
        return encoded["users"]["embedding"][batch["user_ids"]][:, None, :]

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], and the bias where there is one."""
        bias = encoded["item_bias"] if self.config.item_bias else jnp.zeros(self.num_items)
        return ItemVectors(encoded["items"]["embedding"], bias)
