"""Metrics at a cut-off, from the ranks of a user's targets.

Every function takes `ranks` [n, R] int (1 is the best; a user's ranks ascending and distinct; BEYOND where there is
no further target or where it stands behind the last cut-off, so R >= min(k, largest number of targets)),
`num_targets` [n] int (at least 1 each) and `k`, and returns [n] float64, one value a user. With one row a user,
means, deviations and paired tests all come from the same values. They agree with trec_eval (through ir-measures):
recall = R@k, hit = Success@k, precision = P@k, ndcg = nDCG@k, mrr = RR@k, map = AP@k.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BEYOND = np.iinfo(np.int32).max
"""Rank of what is not there, or stands behind the last cut-off."""


def hits(ranks: np.ndarray, k: int) -> np.ndarray:
    """Number of targets among the first k: sum_j [rank_j <= k]."""
    return np.asarray(ranks <= k, np.float64).sum(axis=1)


def recall(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Share of the targets that is found: hits / |T|."""
    return hits(ranks, k) / num_targets


def hit(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Whether any target is found (HR@k of the papers): [hits > 0]."""
    return (hits(ranks, k) > 0).astype(np.float64)


def precision(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Share of the list that is a target: hits / k, also where fewer than k targets exist."""
    return hits(ranks, k) / k


def ndcg(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Discounted gain over the ideal: sum_{rank_j <= k} 1/log2(rank_j + 1) / sum_{r <= min(k, |T|)} 1/log2(r + 1)."""
    gain = np.where(ranks <= k, 1.0 / np.log2(ranks.astype(np.float64) + 1.0), 0.0).sum(axis=1)
    return gain / ideal_gain(num_targets, k)


def mrr(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Reciprocal rank of the first target: 1 / min_j rank_j, 0 behind k."""
    first = ranks[:, 0]
    return np.where(first <= k, 1.0 / first.astype(np.float64), 0.0)


def map_(ranks: np.ndarray, num_targets: np.ndarray, k: int) -> np.ndarray:
    """Average precision: sum_{rank_j <= k} (targets up to rank_j) / rank_j / |T|.

    The denominator is |T| and not min(k, |T|), as in trec_eval's map_cut.
    """
    found = np.arange(1, ranks.shape[1] + 1, dtype=np.float64)
    return np.where(ranks <= k, found / ranks, 0.0).sum(axis=1) / num_targets


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "recall": recall,
    "hit": hit,
    "ndcg": ndcg,
    "precision": precision,
    "mrr": mrr,
    "map": map_,
}
"""All metrics by name; a result's key is `<name>@<k>`."""


def discounts(k: int) -> np.ndarray:
    """1/log2(r + 1) for r = 1..k, [k] float64."""
    return 1.0 / np.log2(np.arange(2, k + 2, dtype=np.float64))


def ideal_gain(num_targets: np.ndarray, k: int) -> np.ndarray:
    """Discounted gain of a perfect list, [n] float64: sum over r <= min(k, |T|) of 1/log2(r + 1)."""
    return np.cumsum(discounts(k))[np.minimum(num_targets, k) - 1]


def all_metrics(ranks: np.ndarray, num_targets: np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Every metric at every cut-off: `<name>@<k>` -> [n] float64."""
    return {f"{name}@{k}": function(ranks, num_targets, k) for name, function in METRICS.items() for k in ks}


def mean_metrics(per_user: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean over the users, summed once in float64."""
    return {name: float(np.mean(values, dtype=np.float64)) for name, values in per_user.items()}


def coverage(lists: np.ndarray, num_items: int, k: int) -> float:
    """Share of the catalogue that stands in any user's first k; `lists` [n, >=k] int, -1 where a list is shorter."""
    shown = np.unique(lists[:, :k])
    return float(np.sum(shown >= 0)) / num_items
