"""Softmax of each row's target against the targets of the other rows, for users of several vectors."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.nn.sharding import Axes, all_rows, first_row, over_rows, sum_over_rows

Readout = Literal["per_candidate_max", "argmax_target"]
"""Each candidate is scored by the interest that suits it best, or all of them by the one that suits the target."""


def in_batch_softmax(
    interests: jax.Array,
    items: jax.Array,
    target_ids: jax.Array,
    histories: jax.Array,
    mask: jax.Array,
    rng: jax.Array,
    *,
    num_negatives: int | None = None,
    readout: Readout = "per_candidate_max",
    item_counts: jax.Array | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Mean over the real rows of -log(exp(s_t) / (exp(s_t) + sum_j exp(s_j))), j other rows' targets; 0 without rows.

    interests: [B, K, D] float32; items: [B, D], the vectors of target_ids [B] int32; histories: [B, L] int32, item
    id + 1, 0 where there is nothing; mask: [B] bool. A row's own target and the items of its history are no negatives,
    whichever row they are the target of. num_negatives: so many of the others drawn for each row, fewer where there are
    not as many; None: all of them. item_counts: [I] training interactions; with them s_j is less by log(S q_j), S the
    row's negatives and q_j the item's share of interactions, so that the sum estimates that over all items: as it is,
    an item is a negative as often as it is popular, and the model learns to rank popular items low (logQ: Yi et al.,
    RecSys 2019). UiM Eq. 12 and 13, read as a softmax. mesh: each device scores its rows against all items.
    """
    shared = functools.partial(_loss_sum, num_negatives=num_negatives, readout=readout)
    among = over_rows(shared, mesh, len(items), (0, 0, None, 0, None, None, None))
    return among(interests, items, target_ids, histories, mask, rng, item_counts) / jnp.maximum(mask.sum(), 1)


def _loss_sum(
    interests: jax.Array,
    items: jax.Array,
    target_ids: jax.Array,
    histories: jax.Array,
    mask: jax.Array,
    rng: jax.Array,
    item_counts: jax.Array | None,
    axes: Axes,
    num_negatives: int | None,
    readout: Readout,
) -> jax.Array:
    """The sum over the real rows; interests, items and histories of this device's rows, the rest of all."""
    items, places = all_rows(items, axes, 0), first_row(axes, len(interests)) + jnp.arange(len(interests))
    by_interest = jnp.einsum("bkd,cd->bkc", interests, items, preferred_element_type=jnp.float32)
    scores = by_interest.max(1) if readout == "per_candidate_max" else _of_targets_interest(by_interest, places)
    negative = _negatives(target_ids, histories, mask, places)
    own = jnp.take_along_axis(scores, places[:, None], axis=1)[:, 0]
    shift = -own[:, None]
    if item_counts is not None:
        shares = item_counts[target_ids].astype(jnp.float32) / jnp.maximum(item_counts.sum(), 1)
        # A target was seen at least once; what is not is of a masked row.
        shift = shift - jnp.log(jnp.where(shares > 0, shares, 1.0))[None, :]
    relative = jnp.where(negative, scores + shift, -jnp.inf)
    if num_negatives is not None and num_negatives < len(target_ids):
        relative = _draw(relative, negative, rng, num_negatives, places)
    if item_counts is not None:
        found = (relative > -jnp.inf).sum(1, keepdims=True)
        relative = relative - jnp.log(jnp.maximum(found, 1).astype(jnp.float32))
    losses = jax.nn.logsumexp(jnp.pad(relative, ((0, 0), (1, 0))), axis=1)
    return sum_over_rows(jnp.where(mask[places], losses, 0.0).sum(), axes)


def _of_targets_interest(by_interest: jax.Array, places: jax.Array) -> jax.Array:
    """Scores [R, B] of every candidate by the interest of the row that scores its own target, at its place, highest."""
    best = jnp.take_along_axis(by_interest, places[:, None, None], axis=2).argmax(1, keepdims=True)
    return jnp.take_along_axis(by_interest, best, axis=1)[:, 0]


def _negatives(target_ids: jax.Array, histories: jax.Array, mask: jax.Array, places: jax.Array) -> jax.Array:
    """[R, B] bool: where the target of the column is a negative of the row."""
    known = (histories[:, :, None] == target_ids[None, None, :] + 1).any(1)
    return mask[None, :] & ~known & (target_ids[places][:, None] != target_ids[None, :])


def _draw(relative: jax.Array, negative: jax.Array, rng: jax.Array, num_negatives: int, places: jax.Array) -> jax.Array:
    """[R, n]: n of the negatives of each row without replacement, -inf where it has fewer.

    The numbers drawn for a row do not depend on how many rows there are.
    """
    size = negative.shape[1]
    rows = jax.vmap(lambda row: jax.random.uniform(jax.random.fold_in(rng, row), (size,)))(places)
    chosen = jax.lax.top_k(jnp.where(negative, rows, -1.0), num_negatives)[1]
    return jnp.take_along_axis(relative, chosen, axis=1)
