"""Losses over items for rows of hidden vectors, chosen by name: over all items, drawn ones, or exact negatives."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.nn.item_softmax import item_softmax_loss
from jaxrec.nn.losses import masked_mean
from jaxrec.nn.sampled_softmax import item_scores, sampled_softmax_loss

ItemLossName = Literal["softmax", "sampled_softmax", "bce", "bpr", "gbce"]
Draws = Literal["uniform", "log_uniform"]


@dataclasses.dataclass(frozen=True)
class ItemLossConfig:
    """Settings of a loss over items."""

    name: ItemLossName = "softmax"
    """Over all items (softmax), over drawn ones (sampled_softmax), or against negatives (bce, bpr, gbce)."""
    temperature: float = 1.0
    """What scores are divided by."""
    num_negatives: int = 1
    """Negatives of each target, or the items that sampled_softmax draws for all targets of a step."""
    draws: Draws = "log_uniform"
    """How sampled_softmax draws: all items alike, or log-uniform in their popularity rank."""
    gbce_t: float = 0.75
    """Calibration of gbce: 0 is bce, at 1 its scores are as calibrated as those of bce over all items."""
    chunk: int | None = None
    """Items whose scores softmax computes at a time for all targets; None: as many as suit the device."""

    def validate(self, prefix: str = "loss") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("temperature", self.temperature > 0, "above 0"),
            ("num_negatives", self.num_negatives >= 1, "1 or more"),
            ("gbce_t", 0 <= self.gbce_t <= 1, "from 0 to 1"),
            ("chunk", self.chunk is None or self.chunk >= 1, "1 or more, or None"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")

    @property
    def needs_negatives(self) -> bool:
        """Whether the loss reads num_negatives exact negatives of each target."""
        return self.name in ("bce", "bpr", "gbce")


def item_loss(
    config: ItemLossConfig,
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    negatives: jax.Array | None = None,
    rng: jax.Array | None = None,
    *,
    bias: jax.Array | None = None,
    item_counts: jax.Array | None = None,
    num_items: int | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """The configured loss, a mean over the real rows; 0 where there is none.

    hidden: [N, D]; table: [I, D]; targets: [N] int32 items; mask: [N] bool; negatives: [N, num_negatives] int32 where
    config.needs_negatives; rng: a key for sampled_softmax; item_counts: [I] training interactions for its log-uniform
    draws; bias: [I] or None; num_items: so many rows of the table, and numbers of the bias, are items, all of them by
    default. On a mesh the table is shared by item, or whole. A score is (hidden . item + bias) / temperature. Raises
    ValueError where an argument that the named loss reads is missing.
    """
    if config.temperature != 1.0:
        hidden = hidden / config.temperature
        bias = None if bias is None else bias / config.temperature
    if config.name == "softmax":
        return item_softmax_loss(hidden, table, targets, mask, bias, chunk=config.chunk, num_items=num_items, mesh=mesh)
    num_items = len(table) if num_items is None else num_items
    hidden, targets = jnp.where(mask[:, None], hidden, 0), jnp.where(mask, targets, 0)
    if config.name == "sampled_softmax":
        counts = item_counts if config.draws == "log_uniform" else None
        if rng is None or (counts is None and config.draws == "log_uniform"):
            raise ValueError(f"sampled_softmax with {config.draws} draws: a key or item_counts is missing")
        options = {"num_draws": config.num_negatives, "bias": bias, "item_counts": counts}
        return sampled_softmax_loss(hidden, table, targets, mask, rng, num_items=num_items, mesh=mesh, **options)
    expected = len(targets), config.num_negatives
    if negatives is None or negatives.shape != expected:
        raise ValueError(f"{config.name} reads negatives {expected}, found {getattr(negatives, 'shape', None)}")
    candidates = jnp.concatenate([targets[:, None], jnp.where(mask[:, None], negatives, 0)], axis=1)
    scores = item_scores(hidden, table, candidates, bias, mesh)
    if config.name == "bpr":
        return masked_mean(jax.nn.softplus(scores[:, 1:] - scores[:, :1]).mean(1), mask)
    power = gbce_power(config.num_negatives, num_items, config.gbce_t) if config.name == "gbce" else 1.0
    return masked_mean(binary_losses(scores, power), mask)


def binary_losses(scores: jax.Array, power: float = 1.0) -> jax.Array:
    """-(power log sigma(s_0) + sum_k log(1 - sigma(s_k))) / K of each row of scores [N, K], the target's first: [N].

    Binary cross-entropy with power 1; gBCE otherwise (Petrov and Macdonald, RecSys 2023).
    """
    return (power * jax.nn.softplus(-scores[:, 0]) + jax.nn.softplus(scores[:, 1:]).sum(1)) / scores.shape[1]


def gbce_power(num_negatives: int, num_items: int, t: float) -> float:
    """The exponent beta of the target's probability in gBCE, from the share of all negatives that a target has.

    alpha = num_negatives / (num_items - 1), at most 1; beta = alpha (t (1 - 1 / alpha) + 1 / alpha), which is
    1 - t (1 - alpha) (Petrov and Macdonald, RecSys 2023).
    """
    alpha = min(1.0, num_negatives / max(num_items - 1, 1))
    return 1.0 - t * (1.0 - alpha)
