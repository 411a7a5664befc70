"""The softmax over a large catalogue by chunks of items: their scores exist forward, and once more backward.

Items lie along the rows of the score matrix, [C, N]. So sums over items are sums of vectors, the gradient of a chunk's
items is a product without a transpose, and only that of the N rows is kept transposed.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrec.nn.score_chunks import items_at_once, over_chunks

LOWEST = -1e30
"""A finite start for maxima, so that items that score -inf add nothing."""
_LARGE = 1e20
"""A sum of exponentials that the next ones are told from: with 1e18 left before float32 ends."""


def score_sums(
    hidden: jax.Array, table: jax.Array, bias: jax.Array | None, places: jax.Array, most: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """level, total, own, all [N] float32: sum over items of exp(score) is exp(level) * total; own: the target's score.

    hidden [N, D], table [I, D], bias [I] or None; places [N] int32 of the targets in the table, elsewhere own is 0.
    The level is the highest score of the first chunk, raised when a sum grows large, which spares a pass over all
    scores for their maxima. Where that overflows, scores above what was seen by more than 40, it is done anew with a
    running maximum.
    """
    size = items_at_once(len(hidden), len(table), most)
    by_column = kept_apart(hidden.T)

    def add(carry: Any, begin: Any, size: int) -> Any:
        level, total, own = carry
        scores = _scores(by_column, table, bias, begin, size)
        total = total + jnp.exp(scores - level[None, :]).sum(0)
        raised = total > _LARGE
        level = jnp.where(raised, level + jnp.log(total), level)
        return level, jnp.where(raised, 1.0, total), own + _picked(scores, places - begin)

    def add_safely(carry: Any, begin: Any, size: int) -> Any:
        highest, total, own = carry
        scores = _scores(by_column, table, bias, begin, size)
        new = jnp.maximum(highest, scores.max(0))
        total = total * jnp.exp(highest - new) + jnp.exp(scores - new[None, :]).sum(0)
        return new, total, own + _picked(scores, places - begin)

    zeros = jnp.zeros(len(hidden))
    first = jnp.maximum(_scores(by_column, table, bias, 0, size).max(0), LOWEST)
    found = over_chunks(add, (first, zeros, zeros), len(table), size)

    # A loop and no condition: under vmap a condition would take both ways.
    def again(state: Any) -> Any:
        return jnp.ones((), bool), over_chunks(add_safely, (zeros + LOWEST, zeros, zeros), len(table), size)

    done = jnp.isfinite(found[0] + found[1]).all()
    return jax.lax.while_loop(lambda state: ~state[0], again, (done, found))[1]


def score_gradients(
    hidden: jax.Array,
    table: jax.Array,
    bias: jax.Array | None,
    places: jax.Array,
    weights: jax.Array,
    log_partitions: jax.Array,
    most: int,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Gradients of hidden [N, D] float32, table [I, D] and bias [I] float32 of the rows' losses by weights [N].

    log_partitions: [N] log of the sum over all items, of all devices, of exp(score). All else as `score_sums`.
    """
    size = items_at_once(len(hidden), len(table), most)
    by_column = kept_apart(hidden.T)

    def add(carry: Any, begin: Any, size: int) -> Any:
        by_hidden, by_table, by_bias = carry
        powers = jnp.exp(_scores(by_column, table, bias, begin, size) - log_partitions[None, :])
        hit = jnp.arange(size, dtype=places.dtype)[:, None] == (places - begin)[None, :]
        slopes = (powers - jnp.where(hit, 1.0, 0.0)) * weights[None, :]
        items = jax.lax.dynamic_slice_in_dim(table, begin, size)
        by_items = jnp.einsum("cn,nd->cd", slopes.astype(hidden.dtype), hidden, preferred_element_type=jnp.float32)
        by_table = jax.lax.dynamic_update_slice_in_dim(by_table, by_items.astype(by_table.dtype), begin, 0)
        if by_bias is not None:
            by_bias = jax.lax.dynamic_update_slice_in_dim(by_bias, slopes.sum(1), begin, 0)
        by_rows = jnp.einsum("cd,cn->dn", items, slopes.astype(items.dtype), preferred_element_type=jnp.float32)
        return by_hidden + kept_apart(by_rows), by_table, by_bias

    by_bias = None if bias is None else jnp.zeros(bias.shape, jnp.float32)
    start = jnp.zeros(hidden.shape[::-1], jnp.float32), jnp.zeros_like(table), by_bias
    by_hidden, by_table, by_bias = over_chunks(add, start, len(table), size)
    return by_hidden.T, by_table, by_bias


def kept_apart(product: jax.Array) -> jax.Array:
    """The product as it was asked for: XLA makes product and transpose one, which on a CPU is the slow one."""
    return jax.lax.optimization_barrier(product) if jax.default_backend() == "cpu" else product


def _scores(by_column: jax.Array, table: jax.Array, bias: jax.Array | None, begin: Any, size: int) -> jax.Array:
    """[size, N] float32 scores of the items from `begin` on, for rows given as columns [D, N]."""
    items = jax.lax.dynamic_slice_in_dim(table, begin, size)
    scores = jnp.einsum("cd,dn->cn", items, by_column, preferred_element_type=jnp.float32)
    if bias is None:
        return scores
    return scores + jax.lax.dynamic_slice_in_dim(bias, begin, size).astype(jnp.float32)[:, None]


def _picked(scores: jax.Array, places: jax.Array) -> jax.Array:
    """[N] score at each column's place, 0 where that is not among the scores [C, N]."""
    here = (places >= 0) & (places < len(scores))
    return jnp.where(here, jnp.take_along_axis(scores, jnp.where(here, places, 0)[None, :], 0)[0], 0.0)
