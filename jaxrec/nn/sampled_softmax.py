"""Softmax over drawn items, each weighed by how rarely it is drawn, so that the sum estimates that over all items."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.nn.losses import masked_mean
from jaxrec.nn.sharded_embedding import batch_rows, table_rows


def draw_items(
    rng: jax.Array, num_draws: int, num_items: int, item_counts: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Items drawn with replacement, [S] int32, and the log of each one's probability in a draw, [S] float32.

    Uniform without item_counts. With item_counts [I], log-uniform: the item of popularity rank r = 0, 1, ... has the
    probability log((r + 2) / (r + 1)) / log(I + 1), about what Zipf's law gives; equal counts rank by item.
    """
    if item_counts is None:
        items = jax.random.randint(rng, (num_draws,), 0, num_items, jnp.int32)
        return items, jnp.full(num_draws, -jnp.log(num_items), jnp.float32)
    span = jnp.log(jnp.float32(num_items + 1))
    drawn = jnp.exp(jax.random.uniform(rng, (num_draws,)) * span).astype(jnp.int32) - 1
    ranks = jnp.clip(drawn, 0, num_items - 1)
    by_rank = jnp.argsort(-item_counts, stable=True).astype(jnp.int32)
    # log1p(1 / (r + 1)): the difference of two logarithms has no digit left at the end of a long catalogue.
    return by_rank[ranks], jnp.log(jnp.log1p(1.0 / (ranks + 1.0)) / span)


def sampled_softmax_loss(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    rng: jax.Array,
    *,
    num_draws: int,
    bias: jax.Array | None = None,
    item_counts: jax.Array | None = None,
    num_items: int | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Mean over the real rows of -log(exp(s_t) / (exp(s_t) + sum_k exp(s_k - log(S q_k)))), k over the draws but t.

    hidden: [N, D]; table: [I, D]; targets: [N] int32; mask: [N] bool; bias: [I] or None; item_counts as for
    `draw_items`; num_items: so many rows of the table are items, all by default. The S draws are shared by all rows; a
    draw that is the row's own target is left out of its sum. So the sum is an unbiased estimate of that over all items
    but the target, which is there for certain and needs no correction (logQ: Bengio and Senecal, 2008; Yi et al.,
    RecSys 2019).
    """
    drawn, log_probabilities = draw_items(rng, num_draws, num_items or len(table), item_counts)
    own = item_scores(hidden, table, targets[:, None], bias, mesh)[:, 0]
    others = jnp.einsum("nd,sd->ns", hidden, table_rows(table, drawn, mesh), preferred_element_type=jnp.float32)
    shift = -log_probabilities - jnp.log(jnp.float32(num_draws))
    others += (shift if bias is None else shift + table_rows(bias, drawn, mesh).astype(jnp.float32))[None, :]
    relative = jnp.where(drawn[None, :] == targets[:, None], -jnp.inf, others - own[:, None])
    return masked_mean(jax.nn.logsumexp(jnp.pad(relative, ((0, 0), (1, 0))), axis=1), mask)


def item_scores(
    hidden: jax.Array, table: jax.Array, items: jax.Array, bias: jax.Array | None, mesh: Mesh | None
) -> jax.Array:
    """[N, K] float32 scores of items [N, K] for rows [N, D]."""
    scores = jnp.einsum("nd,nkd->nk", hidden, batch_rows(table, items, mesh), preferred_element_type=jnp.float32)
    return scores if bias is None else scores + batch_rows(bias, items, mesh).astype(jnp.float32)
