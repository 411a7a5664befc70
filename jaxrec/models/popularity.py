"""Popularity: every user gets the items with the most training interactions. What any model must beat."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, ItemVectors, Params
from jaxrec.models.untrained import Untrained
from jaxrec.nn.partition_rules import WHOLE, PartitionRules

Encoded = jax.Array


@dataclasses.dataclass(frozen=True)
class PopularityConfig:
    """Popularity has no settings."""

    name: ClassVar[str] = "popularity"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    mesh_axis: ClassVar[str] = "data"
    partition_rules: ClassVar[PartitionRules] = WHOLE

    def validate(self) -> None:
        """There is nothing to check."""


@dataclasses.dataclass(frozen=True)
class Popularity(Untrained):
    """score(user, item) = training interactions of the item."""

    config: PopularityConfig
    num_users: int
    num_items: int

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Training interactions of each item, [I] float32."""
        assert ctx.item_counts is not None
        return ctx.item_counts.astype(jnp.float32)

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, 1] of zeros: the bias says it all."""
        return jnp.zeros((batch["user_ids"].shape[0], 1, 1))

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """Counts as bias."""
        return ItemVectors(jnp.zeros((self.num_items, 1)), encoded)
