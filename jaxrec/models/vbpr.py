"""VBPR: matrix factorisation that also reads vectors of items, such as pictures (He and McAuley, AAAI 2016)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax.linen.initializers import normal

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.nn.contrast import normalize
from jaxrec.nn.embedding import EmbeddingTable
from jaxrec.nn.losses import bpr_loss, half_squared_norm
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules
from jaxrec.nn.sharding import by_feature, by_row, everywhere


@dataclasses.dataclass(frozen=True)
class VBPRConfig:
    """Settings of VBPR; modalities are those of the data."""

    name: ClassVar[str] = "vbpr"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    needs_features: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    dim: int = 64
    """Width of the free part of a vector, and of the part that is read from the modalities."""
    regularization: float = 1e-4
    """Weight of half the squared norm of the batch's free embeddings."""
    init_std: float = 0.1
    """Standard deviation of the first embeddings."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("regularization", self.regularization >= 0, "0 or more"),
            ("init_std", self.init_std > 0, "above 0"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class VBPR:
    """Eq. 4 over plain parameters: b_i + gamma_u . gamma_i + theta_u . (E f_i) + b' . f_i.

    {"users": {"embedding": [U, 2 D], gamma and theta}, "items": {"embedding": [I, D]}, "item_bias": [I], "modalities":
    {name: {"kernel": [W, D], E's part of the modality, "bias": [W], that of b'}}}. Features have unit length, and an
    item without a modality gets nothing from it.
    """

    config: VBPRConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state. Raises UserError where the data has no modality."""
        features = ctx.item_features or {}
        if not features:
            raise UserError("features.paths: found no vectors of items for model vbpr, allowed: one modality or more")
        user_rng, item_rng, kernel_rng = jax.random.split(rng, 3)
        dim, std = self.config.dim, self.config.init_std
        kernels = {
            name: normal(std)(jax.random.fold_in(kernel_rng, place), (features[name].shape[1], dim))
            for place, name in enumerate(sorted(features))
        }
        return {
            "users": EmbeddingTable(self.num_users, 2 * dim, std).init(user_rng)["params"],
            "items": EmbeddingTable(self.num_items, dim, std).init(item_rng)["params"],
            "item_bias": jnp.zeros(self.num_items),
            "modalities": {name: {"kernel": rows, "bias": jnp.zeros(len(rows))} for name, rows in kernels.items()},
        }, {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """BPR, and L2 of the free embeddings; neither biases nor E are regularised, as in the paper's settings."""
        both, mesh = jnp.stack([batch["item_ids"], batch["negative_item_ids"]]), ctx.mesh
        # Each device takes some rows of the batch with all their features.
        users = by_row(by_feature(params["users"]["embedding"][batch["user_ids"]], mesh), mesh)
        (positives, negatives), (positive_bias, negative_bias) = self._items(params, ctx, both)
        dim, mask = self.config.dim, by_row(batch["mask"], mesh)
        rows = jnp.stack([users[:, :dim], users[:, dim:], positives[:, :dim], negatives[:, :dim]])
        parts = {
            "bpr": bpr_loss(users, positives, negatives, mask, negative_bias - positive_bias),
            "l2": self.config.regularization * half_squared_norm(rows, mask),
        }
        return LossOutput(parts["bpr"] + parts["l2"], parts, extra)

    def _items(self, params: Params, ctx: Context, item_ids: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Vectors [..., R, 2 D] and biases [..., R] of the given items, by row on a mesh, or of all."""
        free, bias = params["items"]["embedding"], params["item_bias"]
        rows: jax.Array | slice = slice(None)
        if item_ids is not None:
            axis, rows = item_ids.ndim - 1, everywhere(item_ids, ctx.mesh)
            free = by_row(by_feature(free[rows], ctx.mesh), ctx.mesh, axis)
            # Every device adds to the whole table of biases, so that it tells numbers of the batch alone.
            bias = by_row(everywhere(bias[rows], ctx.mesh), ctx.mesh, axis)
            rows = by_row(item_ids, ctx.mesh, axis)
        read = jnp.zeros_like(free)
        for name, layer in sorted(params["modalities"].items()):
            assert ctx.item_features is not None
            assert ctx.item_feature_masks is not None
            mask = ctx.item_feature_masks[name][rows][..., None]
            features = normalize(jnp.where(mask, ctx.item_features[name][rows], 0.0))
            read += features @ layer["kernel"]
            bias += features @ layer["bias"]
        return jnp.concatenate([free, read], axis=-1), bias

    def encode(self, params: Params, ctx: Context) -> tuple[jax.Array, ItemVectors]:
        """The users' table, and all items."""
        return params["users"]["embedding"], ItemVectors(*self._items(params, ctx))

    def user_vectors(self, encoded: tuple[jax.Array, ItemVectors], batch: Batch) -> jax.Array:
        """[B, 1, 2 D]."""
        return encoded[0][batch["user_ids"]][:, None, :]

    def item_vectors(self, encoded: tuple[jax.Array, ItemVectors]) -> ItemVectors:
        """[I, 2 D] and [I]."""
        return encoded[1]
