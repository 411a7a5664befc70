"""What a model that learns nothing owes the trainer."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Extra, LossOutput, Params


class Untrained:
    """A model without parameters: popularity, chance, lists that were made before."""

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """No parameters."""
        return {}, {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Zero: there is nothing to learn."""
        return LossOutput(jnp.zeros(()), {}, extra)
