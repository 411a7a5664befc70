"""Exact negative sampling at fixed cost: a rank among the non-positives, mapped to an item by binary search."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def sample_negatives(
    rng: jax.Array, user_ids: jax.Array, graph_indptr: jax.Array, graph_items: jax.Array, num_items: int
) -> jax.Array:
    """One item per entry, uniform among those its user has no interaction with; no rejection, so a fixed cost.

    user_ids: [...] int32; graph_indptr: [U+1] int32 and graph_items: [E] int32 are the users' items, sorted within a
    user and without repeats. Returns int32 of the shape of user_ids. A user who has every item has no negative: the
    result is item 0, and such users must be left out of the loss.
    """
    indptr, items = jnp.asarray(graph_indptr), jnp.asarray(graph_items)
    start, end = indptr[user_ids], indptr[user_ids + 1]
    num_negatives = num_items - (end - start)
    rank = jax.random.randint(rng, user_ids.shape, 0, jnp.maximum(num_negatives, 1), jnp.int32)
    return _item_of_rank(rank, start, end, items, num_negatives)


def _item_of_rank(rank, start, end, items, num_negatives) -> jax.Array:
    """The rank-th non-positive item: rank + j, with j the first place in the row where items[j] - j > rank."""
    low, high = start, end
    # items[start + j] - j counts the non-positives below the row's j-th item and grows with j.
    for _ in range(int(items.shape[0]).bit_length()):
        middle = (low + high) // 2
        after = items[jnp.minimum(middle, items.shape[0] - 1)] - (middle - start) > rank
        open_ = low < high
        high = jnp.where(open_ & after, middle, high)
        low = jnp.where(open_ & ~after, middle + 1, low)
    return jnp.where(num_negatives > 0, rank + (low - start), 0)
