"""Exact negative sampling at fixed cost: a rank among the non-positives, mapped to an item by binary search."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def sample_negatives(
    rng: jax.Array,
    user_ids: jax.Array,
    graph_indptr: jax.Array,
    graph_items: jax.Array,
    num_items: int,
    *,
    max_degree: int | None = None,
) -> jax.Array:
    """One item per entry, uniform among those its user has no interaction with; no rejection, so a fixed cost.

    user_ids: [...] int32; graph_indptr: [U+1] int32 and graph_items: [E] int32 are the users' items, sorted within a
    user and without repeats. max_degree: static, no user has more items; it shortens the search. Returns int32 of the
    shape of user_ids. A user who has every item has no negative: the result is item 0, and such users must be left out
    of the loss.
    """
    indptr, items = jnp.asarray(graph_indptr), jnp.asarray(graph_items)
    start = indptr[user_ids]
    degree = indptr[user_ids + 1] - start
    num_negatives = num_items - degree
    rank = jax.random.randint(rng, user_ids.shape, 0, jnp.maximum(num_negatives, 1), jnp.int32)
    if not items.shape[0]:
        return rank
    # The row's j-th item has items[start + j] - j non-positives below it, which grows with j: the items at or below
    # the rank-th non-positive are the first ones of the row, counted here bit by bit from the highest.
    below = jnp.zeros_like(rank)
    for bit in reversed(range(min(num_items, items.shape[0], max_degree or num_items).bit_length())):
        more = below + (1 << bit)
        item = items.at[jnp.minimum(start + more, items.shape[0]) - 1].get(mode="promise_in_bounds")
        below = jnp.where((more <= degree) & (item - more < rank), more, below)
    return jnp.where(num_negatives > 0, rank + below, 0)
