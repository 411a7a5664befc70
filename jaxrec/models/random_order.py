"""A random order of all items for each user: chance as a ranker that runs, beside its closed form in every table."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Params
from jaxrec.models.untrained import Untrained
from jaxrec.nn.partition_rules import WHOLE, PartitionRules

Encoded = jax.Array


@dataclasses.dataclass(frozen=True)
class RandomOrderConfig:
    """The order follows from its seed and the user alone."""

    name: ClassVar[str] = "random_order"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    mesh_axis: ClassVar[str] = "data"
    partition_rules: ClassVar[PartitionRules] = WHOLE

    order_seed: int = 0
    """Another one gives other orders."""

    def validate(self) -> None:
        """Raise UserError for a value that no data could make sense of."""
        if not 0 <= self.order_seed < 2**32:
            raise UserError(f"model.order_seed: found {self.order_seed}, allowed: 0 to 4294967295")


@dataclasses.dataclass(frozen=True)
class RandomOrder(Untrained):
    """score(user, item) is drawn uniformly from [0, 1), by the user and the item."""

    config: RandomOrderConfig
    num_users: int
    num_items: int

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Nothing: the seed is in the config."""
        return jnp.zeros(())

    def score(self, encoded: Encoded, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        """[B, C] float32 of item_ids [B, C], or of every item."""
        key = jax.random.key(self.config.order_seed)

        def of_user(user: jax.Array) -> jax.Array:
            return jax.random.uniform(jax.random.fold_in(key, user), (self.num_items,))

        scores = jax.vmap(of_user)(batch["user_ids"])
        return scores if item_ids is None else jnp.take_along_axis(scores, item_ids, axis=1)

    def score_floats(self, encoded: Encoded) -> int:
        """The scores of all items, and the bits that they are drawn from."""
        return 2 * self.num_items
