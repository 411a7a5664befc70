"""Ranks of targets by counting what scores at least as high: no sort, no list, exact up to the last cut-off."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrec.eval.item_share import ALL_ITEMS, ItemShare
from jaxrec.eval.metrics import BEYOND


class Ragged(NamedTuple):
    """One ragged list of items a row: items [n] int32 (flat); start, count: [B] int32."""

    items: jax.Array
    start: jax.Array
    count: jax.Array


def ranks_of_targets(
    scores: jax.Array, targets: Ragged, masked: Ragged, num_ranks: int, last_k: int, share: ItemShare = ALL_ITEMS
) -> jax.Array:
    """Ascending ranks of each row's targets among the candidates, [B, num_ranks] int32, BEYOND behind last_k.

    scores: [B, I] float32 of all items or of this device's share, every comparison reads this one matrix. targets and
    masked share no item. Ties are pessimistic: a target's rank is 1 + the non-targets that do not score less + its own
    place among the targets. A target without a finite score stands behind everything, and a candidate that is NaN
    before everything.

    The targets are taken from the best score down and each is counted in one pass over the scores. Their ranks
    ascend, so the passes end as soon as every row is behind last_k: about as many as the best row has hits.
    """
    num_rows = scores.shape[0]
    slots = jnp.arange(num_ranks, dtype=jnp.int32)[None, :]

    def place_next(state):
        ranks, previous, placed, _ = state
        score = share.highest(_next_score(scores, targets, previous, share))
        at_least, equal = _count_targets(scores, targets, score, share)
        others = _count_all(scores, score) - at_least - _count_not_less(scores, masked, score, share)
        equal, others = share.total((equal, others))
        mine = (slots >= placed[:, None]) & (slots < (placed + equal)[:, None])
        rank = others[:, None] + slots + 1
        ranks = jnp.where(mine & (rank <= last_k), rank, ranks)
        placed = placed + equal
        more = (equal > 0) & (placed < targets.count) & (others + placed < last_k)
        return ranks, score, placed, more

    start = (
        jnp.full((num_rows, num_ranks), BEYOND, jnp.int32),
        jnp.full((num_rows,), jnp.inf, jnp.float32),
        jnp.zeros((num_rows,), jnp.int32),
        targets.count > 0,
    )
    return lax.while_loop(lambda state: jnp.any(state[3]), place_next, start)[0]


def mask_scores(scores: jax.Array, masked: Ragged, share: ItemShare = ALL_ITEMS, width: int = 32) -> jax.Array:
    """The scores [B, I], of all items or of this device's share, with -inf at each row's masked items."""
    rows = jnp.arange(scores.shape[0])[:, None]

    def mask_chunk(chunk, values):
        items, real = _chunk(masked, chunk, width)
        columns, here = share.columns(items, values.shape[1])
        # An index behind the last column is dropped.
        columns = jnp.where(real & here, columns, values.shape[1])
        return values.at[rows, columns].set(-jnp.inf, mode="drop")

    return lax.fori_loop(0, _num_chunks(masked, width), mask_chunk, scores)


def _count_all(scores: jax.Array, score: jax.Array) -> jax.Array:
    """Items of each row that do not score less, [B] int32."""
    # Float32 sums of ones are exact below 2**24 and vectorise better than integer sums.
    dtype = jnp.float32 if scores.shape[1] < 2**24 else jnp.int32
    less = scores < score[:, None]
    return jnp.sum(jnp.where(less, jnp.zeros((), dtype), jnp.ones((), dtype)), axis=1).astype(jnp.int32)


def _count_not_less(
    scores: jax.Array, masked: Ragged, score: jax.Array, share: ItemShare, width: int = 32
) -> jax.Array:
    """Masked items of each row that _count_all counted, [B] int32."""

    def add_chunk(chunk, counts):
        values, real = _gather(scores, masked, chunk, width, share)
        return counts + jnp.sum(real & ~(values < score[:, None]), axis=1, dtype=jnp.int32)

    return lax.fori_loop(0, _num_chunks(masked, width), add_chunk, jnp.zeros_like(masked.count))


def _next_score(scores: jax.Array, targets: Ragged, previous: jax.Array, share: ItemShare, width: int = 8) -> jax.Array:
    """The best target score of each row that is below the previous one, [B] float32; -inf where none is left."""

    def best_of_chunk(chunk, best):
        values, real = _gather(scores, targets, chunk, width, share)
        below = real & (values < previous[:, None])
        return jnp.maximum(best, jnp.max(jnp.where(below, values, -jnp.inf), axis=1))

    return lax.fori_loop(0, _num_chunks(targets, width), best_of_chunk, jnp.full_like(previous, -jnp.inf))


def _count_targets(
    scores: jax.Array, targets: Ragged, score: jax.Array, share: ItemShare, width: int = 8
) -> tuple[jax.Array, jax.Array]:
    """Targets of each row that score at least, and exactly, this much: two [B] int32 (0 where score is -inf)."""

    def add_chunk(chunk, counts):
        values, real = _gather(scores, targets, chunk, width, share)
        real = real & jnp.isfinite(values) & (score > -jnp.inf)[:, None]
        at_least = jnp.sum(real & (values >= score[:, None]), axis=1, dtype=jnp.int32)
        equal = jnp.sum(real & (values == score[:, None]), axis=1, dtype=jnp.int32)
        return counts[0] + at_least, counts[1] + equal

    zeros = jnp.zeros_like(targets.count)
    return lax.fori_loop(0, _num_chunks(targets, width), add_chunk, (zeros, zeros))


def _num_chunks(lists: Ragged, width: int) -> jax.Array:
    return (jnp.max(lists.count) + width - 1) // width


def _chunk(lists: Ragged, chunk: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """Places chunk*width .. chunk*width + width - 1 of every list: items and which are real, [B, width]."""
    place = chunk * width + jnp.arange(width, dtype=jnp.int32)[None, :]
    real = place < lists.count[:, None]
    items = lists.items.at[lists.start[:, None] + place].get(mode="fill", fill_value=0)
    return jnp.where(real, items, 0), real


def _gather(
    scores: jax.Array, lists: Ragged, chunk: jax.Array, width: int, share: ItemShare
) -> tuple[jax.Array, jax.Array]:
    items, real = _chunk(lists, chunk, width)
    columns, here = share.columns(items, scores.shape[1])
    return jnp.take_along_axis(scores, columns, axis=1), real & here
