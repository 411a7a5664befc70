"""How well groups of a user's items agree with planted labels, beside chance and what could be reached at best.

Everything is of U users with L places: groups [U, L] int, -1 where there is no item; labels [U, L, M] bool, which of M
labels an item has: one (its main motivation) or several (all that it serves).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

SHUFFLES = 20
RESTARTS = 8
_STEPS = 25


class Purity(NamedTuple):
    """The share of items that have the label which most items of their user's group have; means over items.

    chance: of groups of the same sizes, filled at random (the mean of SHUFFLES draws). single: of one group a user.
    best: the most that any split of a user's items into so many groups could reach.
    """

    purity: float
    chance: float
    single: float
    best: float
    num_items: int


def purity(groups: np.ndarray, labels: np.ndarray, num_groups: int) -> Purity:
    """Purity of groups with its bounds. Raises ValueError where there is no item."""
    real = groups >= 0
    num_items = int(real.sum())
    if num_items == 0:
        raise ValueError("purity is of at least one item")
    rng = np.random.default_rng(0)
    shuffled = [_agreeing(_shuffled(groups, rng), labels, num_groups) for _ in range(SHUFFLES)]
    found = _agreeing(groups, labels, num_groups) / num_items
    one_group = _agreeing(np.where(real, 0, -1), labels, 1) / num_items
    best = _most_agreeing(real, labels, num_groups) / num_items
    return Purity(found, float(np.mean(shuffled)) / num_items, one_group, best, num_items)


def _agreeing(groups: np.ndarray, labels: np.ndarray, num_groups: int) -> int:
    """Items that have their group's most frequent label, over all users."""
    total = 0
    for group in range(num_groups):
        total += int((labels & (groups == group)[..., None]).sum(1).max(-1).sum())
    return total


def _shuffled(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The groups of each user's items in another order; places without an item stay."""
    real = groups >= 0
    # Keys put real places first, in an order drawn anew; both orders list the same groups.
    drawn = np.argsort(np.where(real, rng.random(groups.shape), 2.0), axis=1)
    places = np.argsort(~real, axis=1, kind="stable")
    found = np.empty_like(groups)
    np.put_along_axis(found, places, np.take_along_axis(groups, drawn, 1), 1)
    return found


def _most_agreeing(real: np.ndarray, labels: np.ndarray, num_groups: int) -> int:
    """Items of each user that the best choice of a label a group covers, over all users."""
    labels = labels & real[..., None]
    num_labels = labels.shape[-1]
    if num_groups >= num_labels:
        return int(labels.any(-1).sum())
    if labels.sum(-1).max() <= 1:
        return int(np.sort(labels.sum(1), axis=1)[:, -num_groups:].sum())
    best = np.zeros(len(real), np.int64)
    for chosen in itertools.combinations(range(num_labels), num_groups):
        best = np.maximum(best, labels[..., list(chosen)].any(-1).sum(1))
    return int(best.sum())


def k_means(vectors: np.ndarray, real: np.ndarray, num_groups: int) -> np.ndarray:
    """Groups [U, L] of each user's items by k-means on vectors [U, L, w], the best of RESTARTS; -1 where not real.

    Users with fewer different items than groups have groups without items.
    """
    rng = np.random.default_rng(0)
    vectors = vectors.astype(np.float64)
    best = np.where(real, 0, -1)
    least = np.full(len(real), np.inf)
    for _ in range(RESTARTS):
        groups, distances = _lloyd(vectors, real, _spread_centres(vectors, real, num_groups, rng))
        better = distances < least
        best[better], least[better] = groups[better], distances[better]
    return np.where(real, best, -1)


def _lloyd(vectors: np.ndarray, real: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups [U, L] and sums of squared distances [U] from centres [U, K, w]."""
    for _ in range(_STEPS):
        one_hot = np.eye(centres.shape[1])[_squares(vectors, centres).argmin(-1)] * real[..., None]
        sizes = one_hot.sum(1)[..., None]
        means = np.einsum("ulk,ulw->ukw", one_hot, vectors) / np.maximum(sizes, 1.0)
        centres = np.where(sizes > 0, means, centres)
    squares = _squares(vectors, centres)
    return squares.argmin(-1), (squares.min(-1) * real).sum(1)


def _spread_centres(vectors: np.ndarray, real: np.ndarray, num_groups: int, rng: np.random.Generator) -> np.ndarray:
    """First centres [U, K, w] by k-means++: items drawn in proportion to their squared distance to those drawn."""
    weights = real.astype(np.float64)
    centres: list[np.ndarray] = []
    for _ in range(num_groups):
        # Where every item is a centre already, any of them is drawn.
        weights = np.where(weights.sum(1, keepdims=True) > 0, weights, real)
        cumulative = np.cumsum(weights, axis=1)
        drawn = (cumulative <= rng.random((len(real), 1)) * cumulative[:, -1:]).sum(1).clip(max=real.shape[1] - 1)
        centres.append(vectors[np.arange(len(real)), drawn])
        weights = _squares(vectors, np.stack(centres, 1)).min(-1) * real
    return np.stack(centres, 1)


def _squares(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances [U, L, K] of vectors [U, L, w] to centres [U, K, w]."""
    products = np.einsum("ulw,ukw->ulk", vectors, centres)
    squares = (vectors**2).sum(-1)[..., None] + (centres**2).sum(-1)[:, None, :] - 2.0 * products
    return np.maximum(squares, 0.0)
