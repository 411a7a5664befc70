"""What every table is read against: a random ranking, in closed form, and the most popular items."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.data.batch import Batch
from jaxrec.eval.metrics import discounts, ideal_gain
from jaxrec.eval.ranking import FullRanking
from jaxrec.models.base import Context, ItemVectors, Params


def random_reference(ranking: FullRanking) -> dict[str, float]:
    """Expected metrics of a random order of what `ranking` ranks, under its masks and cut-offs."""
    return expected_at_random(ranking.users.num_candidates, ranking.users.num_targets, ranking.config.k)


def popularity_reference(ranking: FullRanking, ctx: Context) -> dict[str, float]:
    """Metrics of ranking by ctx.item_counts, the training interactions; equal counts are ties, as for any model."""
    if ctx.item_counts is None:
        raise ValueError("ctx.item_counts is None, so there is no popularity to rank by")
    return ranking.evaluate(_ITEM_COUNTS, {}, ctx).metrics


def expected_at_random(num_candidates: np.ndarray, num_targets: np.ndarray, ks: tuple[int, ...]) -> dict[str, float]:
    """Expected metrics of a uniformly random order of each user's candidates, mean over the users.

    num_candidates C, num_targets T: [n] int, 1 <= T <= C. Nothing is drawn; with R_r = [rank r holds a target]:
    E[R_r] = T/C, E[R_r R_s] = T(T-1) / C(C-1), and the first target stands at rank r with probability
    prod_{s < r} (1 - T/(C-s+1)) T/(C-r+1).
    """
    counts, inverse = np.unique(np.stack([num_candidates, num_targets], axis=1), axis=0, return_inverse=True)
    weights = np.bincount(inverse.ravel(), minlength=len(counts)) / len(num_candidates)
    candidates, targets = counts[:, :1].astype(np.float64), counts[:, 1:].astype(np.float64)
    values: dict[str, float] = {}
    for k in ks:
        rank = np.arange(1, k + 1, dtype=np.float64)[None, :]
        real = rank <= candidates
        density = targets / candidates * real
        pair = targets * (targets - 1) / np.maximum(candidates * (candidates - 1), 1.0) * real
        here = np.minimum(targets / np.maximum(candidates - rank + 1, 1.0), 1.0)
        first = here * np.cumprod(np.concatenate([np.ones_like(candidates), 1.0 - here[:, :-1]], axis=1), axis=1)
        expected = {
            "recall": density.sum(axis=1) / targets[:, 0],
            "hit": first.sum(axis=1),
            "ndcg": (density * discounts(k)).sum(axis=1) / ideal_gain(counts[:, 1], k),
            "precision": density.sum(axis=1) / k,
            "mrr": (first / rank).sum(axis=1),
            "map": ((density + (rank - 1) * pair) / rank).sum(axis=1) / targets[:, 0],
        }
        values |= {f"{name}@{k}": float(weights @ value) for name, value in expected.items()}
    return values


class _ItemCounts:
    """Every user ranks by ctx.item_counts."""

    def encode(self, params: Params, ctx: Context) -> jax.Array:
        return jnp.asarray(ctx.item_counts, jnp.float32)

    def user_vectors(self, encoded: jax.Array, batch: Batch) -> jax.Array:
        return jnp.zeros((batch["user_ids"].shape[0], 1, 1), jnp.float32)

    def item_vectors(self, encoded: jax.Array) -> ItemVectors:
        return ItemVectors(jnp.zeros((encoded.shape[0], 1), jnp.float32), encoded)


_ITEM_COUNTS = _ItemCounts()
