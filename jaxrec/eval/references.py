"""What every table is read against: a random ranking, in closed form, and the most popular items."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.data.batch import Batch
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.metrics import discounts, ideal_gain
from jaxrec.eval.ranking import Evaluation
from jaxrec.eval.scoring import Scorer
from jaxrec.models.base import Context, ItemVectors, Params


class Ranking(Protocol):
    """A protocol's ranking of one part: FullRanking, SampledRanking, RetrievedRanking."""

    config: EvalConfig

    @property
    def num_candidates(self) -> np.ndarray:
        """Items that each user's ranking holds, [n] int."""
        ...

    @property
    def num_targets(self) -> np.ndarray:
        """Targets among them, [n] int; 0 where the target is no candidate, which is a miss."""
        ...

    def evaluate(self, model: Scorer, params: Params, ctx: Context, *, lists: bool = False) -> Evaluation:
        """The part ranked by a model."""
        ...


def random_reference(ranking: Ranking, rows: np.ndarray | None = None) -> dict[str, float]:
    """Expected metrics of a random order of what `ranking` ranks, under its masks and cut-offs.

    rows: [n] bool, the users that are meant; all of them by default.
    """
    rows = np.ones(len(ranking.num_targets), bool) if rows is None else rows
    return expected_at_random(ranking.num_candidates[rows], ranking.num_targets[rows], ranking.config.k)


def popularity_reference(ranking: Ranking, ctx: Context) -> Evaluation:
    """Ranking by ctx.item_counts, the training interactions; equal counts are ties, as for any model."""
    if ctx.item_counts is None:
        raise ValueError("ctx.item_counts is None, so there is no popularity to rank by")
    return ranking.evaluate(_ITEM_COUNTS, {}, ctx)


def repeat_last_reference(ranking: Ranking, ctx: Context) -> Evaluation:
    """Ranking by what the user had last: the later an item stands in ctx.histories, the higher; all others are ties."""
    return ranking.evaluate(_RECENCY, {}, ctx)


def expected_at_random(num_candidates: np.ndarray, num_targets: np.ndarray, ks: tuple[int, ...]) -> dict[str, float]:
    """Expected metrics of a uniformly random order of each user's candidates, mean over the users.

    num_candidates C, num_targets T: [n] int, 0 <= T <= C; where T is 0, the user's target is no candidate, and all
    metrics are 0. Nothing is drawn; with R_r = [rank r holds a target]:
    E[R_r] = T/C, E[R_r R_s] = T(T-1) / C(C-1), and the first target stands at rank r with probability
    prod_{s < r} (1 - T/(C-s+1)) T/(C-r+1).
    """
    counts, inverse = _distinct(num_candidates, num_targets)
    weights = np.bincount(inverse, minlength=len(counts)) / len(num_candidates)
    return {name: float(weights @ values) for name, values in _expected(counts, ks).items()}


def expected_of_each(num_candidates: np.ndarray, num_targets: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The same for each user by itself, [n] float64: what paired tests are against."""
    counts, inverse = _distinct(num_candidates, num_targets)
    return {name: values[inverse] for name, values in _expected(counts, ks).items()}


def _distinct(num_candidates: np.ndarray, num_targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of C and T, each once, [u, 2], and the place of each user's among them, [n]."""
    pairs = np.stack([num_candidates, num_targets], axis=1)
    counts, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return counts, inverse.ravel()


def _expected(counts: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Expected metrics of each pair of C and T, [u] float64."""
    candidates, targets = counts[:, :1].astype(np.float64), counts[:, 1:].astype(np.float64)
    values: dict[str, np.ndarray] = {}
    for k in ks:
        rank = np.arange(1, k + 1, dtype=np.float64)[None, :]
        real = rank <= candidates
        density = targets / np.maximum(candidates, 1.0) * real
        pair = targets * (targets - 1) / np.maximum(candidates * (candidates - 1), 1.0) * real
        here = np.minimum(targets / np.maximum(candidates - rank + 1, 1.0), 1.0)
        wanted = np.maximum(targets, 1.0)
        first = here * np.cumprod(np.concatenate([np.ones_like(candidates), 1.0 - here[:, :-1]], axis=1), axis=1)
        expected = {
            "recall": density.sum(axis=1) / wanted[:, 0],
            "hit": first.sum(axis=1),
            "ndcg": (density * discounts(k)).sum(axis=1) / ideal_gain(np.maximum(counts[:, 1], 1), k),
            "precision": density.sum(axis=1) / k,
            "mrr": (first / rank).sum(axis=1),
            "map": ((density + (rank - 1) * pair) / rank).sum(axis=1) / wanted[:, 0],
        }
        values |= {f"{name}@{k}": value for name, value in expected.items()}
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


class _Recency:
    """Score of an item: the latest place in any history that holds it, from 1; 0 where none does."""

    def encode(self, params: Params, ctx: Context) -> tuple[tuple[jax.Array, ...], jax.Array]:
        assert ctx.histories is not None
        assert ctx.item_counts is not None
        return ctx.histories, ctx.item_counts

    def score(self, encoded: tuple, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        histories, item_counts = encoded
        tokens = jnp.concatenate([history[batch["user_ids"]] for history in histories], axis=1)
        places = jnp.concatenate([1.0 + jnp.arange(history.shape[1]) for history in histories])
        if item_ids is not None:
            return jnp.max(jnp.where(tokens[:, None, :] == item_ids[:, :, None] + 1, places, 0.0), axis=2)
        rows = jnp.arange(tokens.shape[0])[:, None]
        # Column 0 is where nothing was.
        table = jnp.zeros((tokens.shape[0], item_counts.shape[0] + 1))
        return table.at[rows, tokens].max(jnp.broadcast_to(places, tokens.shape))[:, 1:]

    def score_floats(self, encoded: tuple) -> int:
        return encoded[1].shape[0] + 4 * sum(history.shape[1] for history in encoded[0])


_RECENCY = _Recency()
