"""Where UiM's item vectors come from: MCLN, given ones, or a linear map of ids and modalities."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.models import mcln_network
from jaxrec.models.base import Context
from jaxrec.models.uim_config import UiMConfig
from jaxrec.nn.embedding import table_parameter
from jaxrec.nn.sharded_embedding import batch_rows
from jaxrec.nn.sharding import feature_mesh

GIVEN = "backbone"
"""The modality that the frozen backbone reads, and no other one does."""
_EPSILON = 1e-12
Columns = dict[str, jax.Array]


def without_given(ctx: Context) -> Context:
    """The context without the modality that the frozen backbone reads."""
    features, masks = (
        {name: rows for name, rows in (columns or {}).items() if name != GIVEN}
        for columns in (ctx.item_features, ctx.item_feature_masks)
    )
    return dataclasses.replace(ctx, item_features=features, item_feature_masks=masks)


def of_mcln(config: UiMConfig, ctx: Context) -> Context:
    """The context as MCLN reads it behind UiM: its nodes by feature over all devices of the mesh."""
    return dataclasses.replace(without_given(ctx), mesh=feature_mesh(ctx.mesh, config.dim))


class FrozenItems(nn.Module):
    """Given vectors as they are, or a linear map of them to another width; a learned vector for items without one."""

    dim: int

    @nn.compact
    def __call__(self, vectors: jax.Array, mask: jax.Array) -> jax.Array:
        """[R, d] of vectors [R, W] and mask [R] bool."""
        known = jnp.where(mask[:, None], vectors, 0.0)
        if vectors.shape[-1] != self.dim:
            known = nn.Dense(self.dim, use_bias=False, name="map")(known)
        missing = self.param("missing", nn.initializers.normal(0.1), (self.dim,))
        return jnp.where(mask[:, None], known, missing[None])


class FusedItems(nn.Module):
    """W [id; modalities] + b; a modality that an item lacks adds nothing. Features are scaled to length 1."""

    dim: int
    num_items: int
    init_std: float

    @nn.compact
    def __call__(
        self, item_ids: jax.Array | None, features: Columns, masks: Columns, mesh: Mesh | None = None
    ) -> jax.Array:
        """[R, d] of item_ids [R] int32, features [R, W] and masks [R] bool by modality; item_ids None: every row."""
        init = nn.initializers.normal(self.init_std)
        table = table_parameter(self, "embedding", init, (self.num_items, self.dim))
        total = nn.Dense(self.dim, name="id")(table if item_ids is None else batch_rows(table, item_ids, mesh))
        for name in sorted(features):
            known = jnp.where(masks[name][:, None], features[name], 0.0)
            if item_ids is None:
                known = jnp.pad(known, ((0, len(table) - len(known)), (0, 0)))
            unit = known * jax.lax.rsqrt((known * known).sum(-1, keepdims=True) + _EPSILON)
            total += nn.Dense(self.dim, use_bias=False, name=name)(unit)
        return total


def init_items(rng: jax.Array, config: UiMConfig, num_users: int, num_items: int, ctx: Context) -> Any:
    """First parameters of the backbone. Raises UserError where the data lacks what it reads."""
    if config.backbone == "joint":
        return mcln_network.init_items(rng, config.mcln, num_users, num_items, of_mcln(config, ctx))
    if config.backbone == "frozen" and GIVEN not in (ctx.item_features or {}):
        found = ", ".join(ctx.item_features or {}) or "no modality"
        raise UserError(
            f"features.paths: found {found}, allowed: with model.backbone frozen, {GIVEN}=FOLDER among others, "
            "the items' vectors"
        )
    module, columns = _module(config, num_items), _columns(config, jnp.zeros(1, jnp.int32), ctx)
    return module.init(rng, *columns)["params"]


def read_catalogue(params: Any, config: UiMConfig, ctx: Context) -> Any:
    """What MCLN computes of the whole catalogue at once; None of another backbone."""
    if config.backbone != "joint":
        return None
    return mcln_network.read_catalogue(params, config.mcln, of_mcln(config, ctx))


def item_vectors(
    params: Any, config: UiMConfig, num_items: int, ctx: Context, item_ids: jax.Array | None, catalogue: Any
) -> jax.Array:
    """Vectors [R, d] of item_ids [R] int32, or of all items where their rows are; catalogue as from `read_catalogue`.

    Of a catalogue with fewer items than rows each item's vector is computed once, and the rows are gathered. All items
    may come with rows behind the last one, which mean nothing (jaxrec.nn.partition_rules.pad_rows).
    """
    if item_ids is not None and num_items <= len(item_ids):
        return item_vectors(params, config, num_items, ctx, None, catalogue)[item_ids]
    if config.backbone == "joint":
        return mcln_network.item_vectors(params, config.mcln, of_mcln(config, ctx), item_ids, catalogue)
    return _module(config, num_items).apply({"params": params}, *_columns(config, item_ids, ctx))  # type: ignore[return-value]


def _module(config: UiMConfig, num_items: int) -> nn.Module:
    if config.backbone == "frozen":
        return FrozenItems(config.dim)
    return FusedItems(config.dim, num_items, config.init_std)


def _columns(config: UiMConfig, item_ids: jax.Array | None, ctx: Context) -> tuple[Any, ...]:
    """What the module reads of the given items, or of all."""
    here = slice(None) if item_ids is None else item_ids
    if config.backbone == "frozen":
        assert ctx.item_features is not None
        assert ctx.item_feature_masks is not None
        return ctx.item_features[GIVEN][here], ctx.item_feature_masks[GIVEN][here]
    kept = without_given(ctx)
    columns = kept.item_features or {}, kept.item_feature_masks or {}
    return item_ids, *({name: rows[here] for name, rows in held.items()} for held in columns), ctx.mesh
