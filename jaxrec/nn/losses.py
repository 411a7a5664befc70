"""Losses over a padded batch: masked rows count for nothing, neither in a sum nor in a mean."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of values [B] over the real rows of mask [B] bool; 0 where there is none."""
    return jnp.where(mask, values, 0.0).sum() / jnp.maximum(mask.sum(), 1)


def bpr_loss(
    users: jax.Array, positives: jax.Array, negatives: jax.Array, mask: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
    """Bayesian personalised ranking: mean of softplus(s(u, j) - s(u, i)) (Rendle et al., UAI 2009).

    users, positives, negatives: [B, D] float32; mask: [B] bool; bias: [B], that of j less that of i. The two vectors
    are subtracted before the sum over features, so that features on several devices need one reduction of [B] numbers.
    """
    difference = (users * (negatives - positives)).sum(-1)
    return masked_mean(jax.nn.softplus(difference if bias is None else difference + bias), mask)


def half_squared_norm(rows: jax.Array, mask: jax.Array) -> jax.Array:
    """Half the squared norm of the real rows, per batch row: rows [G, B, D], mask [B]; 1/2 sum |e|^2 / B."""
    squares = jnp.where(mask[None, :, None], rows * rows, 0.0)
    return 0.5 * squares.sum() / jnp.maximum(mask.sum(), 1)


def squared_norm(tree: Any) -> jax.Array:
    """Sum of the squares of every number in a tree of arrays."""
    # Not vdot: it flattens, and a table that is shared out by feature would be gathered for it.
    return sum(((leaf * leaf).sum() for leaf in jax.tree.leaves(tree)), jnp.zeros(()))
