"""Lists that were made before the run, as a model: SEALR and PALR, whose language model ranked each user's candidates.

The steps of jaxrec.ranker train and rank; here nothing is learned. An item of a user's list scores by its place, and
any other item not at all.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Params
from jaxrec.models.sealr_config import PALRConfig, SEALRConfig
from jaxrec.models.untrained import Untrained

__all__ = ["PALRConfig", "RankedLists", "SEALRConfig"]

Encoded = jax.Array


@dataclasses.dataclass(frozen=True)
class RankedLists(Untrained):
    """score(user, item) = C minus the item's place in the user's list of C, from 0; -inf outside of it."""

    config: SEALRConfig
    num_users: int
    num_items: int

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """The lists, [U, C] int32, -1 behind the last item of one."""
        assert ctx.ranked_items is not None
        return ctx.ranked_items

    def score(self, encoded: Encoded, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        """[B, C] float32 of item_ids [B, C], or of every item: -inf where the list does not hold it."""
        lists = encoded[batch["user_ids"]]
        length = lists.shape[1]
        values = jnp.arange(length, 0, -1, dtype=jnp.float32)
        if item_ids is not None:
            found = (lists[:, None, :] == item_ids[:, :, None]) & (lists[:, None, :] >= 0)
            return jnp.max(jnp.where(found, values, -jnp.inf), axis=2, initial=-jnp.inf)
        rows = jnp.arange(lists.shape[0])[:, None]
        # One more column, for places without an item.
        columns = jnp.where(lists >= 0, lists, self.num_items)
        table = jnp.full((lists.shape[0], self.num_items + 1), -jnp.inf)
        return table.at[rows, columns].max(jnp.broadcast_to(values, lists.shape))[:, : self.num_items]

    def score_floats(self, encoded: Encoded) -> int:
        """A table of scores, and a list."""
        return self.num_items + 2 * encoded.shape[1]
