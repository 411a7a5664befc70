"""What M3BSR reads of an item, and of a history of items: id features and one sequence a modality."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.models.base import Context
from jaxrec.models.m3bsr_config import M3BSRConfig
from jaxrec.nn.embedding import table_parameter
from jaxrec.nn.sharded_embedding import batch_rows

ID = "id"
"""The name of the id modality, beside those of Context.item_features."""
_EPSILON = 1e-6
Tokens = dict[str, jax.Array]


def modality_names(ctx: Context) -> tuple[str, ...]:
    """Modalities of the data, in order, ids last."""
    return (*sorted(ctx.item_features or {}), ID)


class ItemTokens(nn.Module):
    """Vectors of items that no history changes: the item's part of the id network, and its features.

    In the projected space features become LN(P x), of unit variance, so that the noise schedule means the same for
    every modality; an item without features has a learned vector in place of P x.
    """

    config: M3BSRConfig
    num_items: int

    @nn.compact
    def __call__(
        self, item_ids: jax.Array, fields: Tokens, features: Tokens, masks: Tokens, mesh: Mesh | None = None
    ) -> Tokens:
        """Modality -> [..., w] of item_ids [...], fields [...] int32, features [..., W] and masks [...] bool.

        "id" is the first layer of Eq. 3's network, before the user's part is added and without its nonlinearity.
        """
        config, init = self.config, nn.initializers.normal(self.config.init_std)
        table = table_parameter(self, "embedding", init, (self.num_items, config.id_dim))
        parts = [batch_rows(table, item_ids, mesh)]
        for name in sorted(fields):
            # As many values as items at most, and 0 for what is not known.
            table = table_parameter(self, f"{name}_embedding", init, (self.num_items + 1, config.id_dim))
            parts.append(batch_rows(table, fields[name], mesh))
        tokens = {ID: nn.Dense(id_hidden_dim(config), name="id_in")(jnp.concatenate(parts, axis=-1))}
        for name in sorted(features):
            tokens[name] = self._feature(name, features[name], masks[name][..., None])
        return tokens

    def _feature(self, name: str, feature: jax.Array, mask: jax.Array) -> jax.Array:
        known = jnp.where(mask, feature, 0.0)
        if self.config.space == "projected":
            known = nn.Dense(self.config.dim, name=f"{name}_projection")(known)
        missing = self.param(f"{name}_missing", nn.initializers.normal(self.config.init_std), known.shape[-1:])
        known = jnp.where(mask, known, missing.reshape((1,) * (known.ndim - 1) + missing.shape))
        return unit_variance(known) if self.config.space == "projected" else known


def id_hidden_dim(config: M3BSRConfig) -> int:
    """Width inside the network of the id fields."""
    return 4 * config.id_dim


def unit_variance(vectors: jax.Array) -> jax.Array:
    """Each vector less its mean, over its standard deviation."""
    centred = vectors - vectors.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + _EPSILON)


def item_tokens(module: ItemTokens, params: Any, ctx: Context, item_ids: jax.Array | None = None) -> Tokens:
    """Tokens of the given items, or of the whole catalogue."""

    def pick(columns: Tokens | None) -> Tokens:
        if item_ids is None:
            return columns or {}
        return {name: column[item_ids] for name, column in (columns or {}).items()}

    ids = jnp.arange(module.num_items) if item_ids is None else item_ids
    columns = pick(ctx.item_fields), pick(ctx.item_features), pick(ctx.item_feature_masks)
    return module.apply({"params": params}, ids, *columns, ctx.mesh)  # type: ignore[return-value]


def history_tokens(
    module: ItemTokens, params: Any, ctx: Context, histories: jax.Array, whole_catalogue: bool = True
) -> Tokens:
    """Tokens of histories [B, N, L] int32 (item id + 1, 0 where there is nothing): modality -> [B, N, L, w].

    A catalogue that is smaller than the histories is computed once and then gathered from, where it may be whole.
    """
    places = jnp.maximum(histories - 1, 0)
    if not whole_catalogue or module.num_items > places.size:
        return item_tokens(module, params, ctx, places)
    return {name: rows[places] for name, rows in item_tokens(module, params, ctx).items()}


class IdFeatures(nn.Module):
    """The rest of Eq. 3's network: h_id = W2 GELU(W1 [item; fields; user])."""

    config: M3BSRConfig
    num_users: int

    @nn.compact
    def __call__(self, items: jax.Array, user_ids: jax.Array, mesh: Mesh | None = None) -> jax.Array:
        """[B, N, L, w] of the items' part [B, N, L, hidden] and user_ids [B]."""
        config = self.config
        if config.user_field == "embedding":
            init = nn.initializers.normal(config.init_std)
            users = table_parameter(self, "user_embedding", init, (self.num_users, config.id_dim))
            user_part = nn.Dense(items.shape[-1], use_bias=False, name="user_in")(batch_rows(users, user_ids, mesh))
            items = items + user_part[:, None, None, :]
        features = nn.Dense(config.id_dim, name="id_out")(nn.gelu(items, approximate=True))
        if config.space == "raw":
            return features
        return unit_variance(nn.Dense(config.dim, name="id_projection")(features))
