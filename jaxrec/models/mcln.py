"""MCLN by itself: ranking by ids, modalities and what they are fused to (Li et al., SIGIR 2023)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.mcln_config import MCLNConfig
from jaxrec.models.mcln_network import init_items, item_vectors, pair_losses, read_catalogue

__all__ = ["MCLN", "MCLNConfig"]

Encoded = tuple[jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class MCLN:
    """The model's functions over plain parameters, those of jaxrec.models.mcln_network.init_items."""

    config: MCLNConfig
    num_users: int
    num_items: int

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters; there is no extra state. Raises UserError where the data has no modality."""
        return init_items(rng, self.config, self.num_users, self.num_items, ctx), {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """A BPR of each channel, and L2, over one batch."""
        users, items, negatives = batch["user_ids"], batch["item_ids"], batch["negative_item_ids"]
        parts = pair_losses(params, self.config, users, items, negatives, batch["mask"], ctx, rng)
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Users [U, d] and items [I, d]."""
        catalogue = read_catalogue(params, self.config, ctx)
        return catalogue.nodes[: self.num_users], item_vectors(params, self.config, ctx, catalogue=catalogue)

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, d]."""
        return encoded[0][batch["user_ids"]][:, None, :]

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, d], without a bias."""
        return ItemVectors(encoded[1], jnp.zeros(self.num_items))
