"""How close together similar items lie: a figure beside a picture that only suggests it."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 10
MAX_ROWS = 3000


def compactness(rows: np.ndarray) -> float:
    """Mean distance of a row to its ten nearest, over the mean distance of any two: near 0 in tight clusters, near 1
    without any. rows [n, w]; in the space itself, not in its picture; of more than 3,000, a fixed random choice."""
    from scipy.spatial.distance import cdist

    if len(rows) > MAX_ROWS:
        rows = rows[np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS]]
    distances = cdist(rows, rows)
    near = np.sort(distances, axis=1)[:, 1 : NEIGHBOURS + 1].mean()
    size = len(rows)
    return float(near / (distances.sum() / (size * (size - 1))))


def within_share(rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of the rows' variance that is within labels: 0 where items of one label are one point, 1 where labels say
    nothing. rows [n, w]; labels [n] int."""
    whole = np.square(rows - rows.mean(0)).sum()
    within = sum(np.square(rows[labels == label] - rows[labels == label].mean(0)).sum() for label in np.unique(labels))
    return float(within / whole)
