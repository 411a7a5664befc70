"""Exact top-k lists in two static stages: the best blocks first, then the best items of those."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxrec.eval.item_share import ItemShare


def block_width(num_items: int, k: int) -> int:
    """Items a block, a power of two near sqrt(num_items / k): where both stages cost the same."""
    return 1 << max(3, round(math.log2(math.sqrt(num_items / k))))


def top_k_of_shares(scores: jax.Array, k: int, share: ItemShare) -> tuple[jax.Array, jax.Array]:
    """The k best of all shares' items for this device's part of the rows: values and int32 items, both [B/n, k].

    scores: [B, W] of all rows and this device's items; n devices divide B and take consecutive rows. Equal scores are
    ordered by item, as `exact_top_k` orders them: shares lie side by side in the order of their items.
    """
    num_items = scores.shape[1]
    mine = min(k, num_items)
    width = block_width(num_items, mine)
    padded = jnp.pad(scores, ((0, 0), (0, -num_items % width)), constant_values=-jnp.inf)
    values, columns = exact_top_k(padded, mine, width)
    # Each device merges the lists of its own rows, instead of every one those of all.
    values, items = (
        lax.all_to_all(best, share.axes, split_axis=0, concat_axis=1, tiled=True)
        for best in (values, columns + share.first(num_items))
    )
    best, places = lax.top_k(values, k)
    return best, jnp.take_along_axis(items, places, axis=1)


def exact_top_k(scores: jax.Array, k: int, width: int) -> tuple[jax.Array, jax.Array]:
    """The k best of each row, best first: values [B, k] float32 and columns [B, k] int32.

    scores: [B, I], I a multiple of width (padded with -inf). The k best items lie in the k blocks with the largest
    maxima, so only k * width scores are sorted. Equal scores are ordered by column, exactly as lax.top_k orders
    them: blocks with equal maxima are taken from the left and put back in order before the second stage.
    """
    num_rows, num_items = scores.shape
    if num_items <= k * width:
        return lax.top_k(scores, k)
    blocks = scores.reshape(num_rows, num_items // width, width)
    chosen = jnp.sort(lax.top_k(jnp.max(blocks, axis=2), k)[1], axis=1)
    candidates = jnp.take_along_axis(blocks, chosen[:, :, None], axis=1).reshape(num_rows, k * width)
    values, places = lax.top_k(candidates, k)
    columns = jnp.take_along_axis(chosen, places // width, axis=1) * width + places % width
    return values, columns.astype(jnp.int32)
