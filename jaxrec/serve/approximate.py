"""An approximate index of item vectors for catalogues that are too large to score whole (the extra `ann`)."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from jaxrec.errors import UserError
from jaxrec.models.base import ItemVectors

USERS_AT_ONCE = 256


class ApproximateItems:
    """Finds most of the items that score best, by a graph of near neighbours (HNSW, in usearch).

    The score is the library's: the maximum over a user's K vectors of <u_k, i> + b_i. Items enter with their bias and
    with what they lack to the length of the longest, so that all are equally long and the largest product is the
    smallest angle, which is what a graph of neighbours can follow (Bachrach et al., RecSys 2014).
    """

    def __init__(self, items: ItemVectors, *, connectivity: int = 16, expansion: int = 128) -> None:
        """Build the index of vectors [I, D] with bias [I].

        connectivity: neighbours of each item in the graph. expansion: items looked at while one is placed. Raises
        UserError where usearch is not installed or a vector is not finite.
        """
        if importlib.util.find_spec("usearch") is None:
            raise UserError("approximate index: found no package usearch, allowed: install jaxrec with the extra `ann`")
        from usearch.index import Index

        self._vectors = np.asarray(items.vectors, np.float32)
        self._bias = np.asarray(items.bias, np.float32)
        placed = np.concatenate([self._vectors, self._bias[:, None]], axis=1)
        unfit = np.flatnonzero(~np.isfinite(placed).all(1))
        if len(unfit):
            raise UserError(
                f"approximate index: found item {unfit[0]} with a vector that is not finite, allowed: numbers"
            )
        squares = (placed.astype(np.float64) ** 2).sum(1)
        missing = np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0)).astype(np.float32)
        placed = np.concatenate([placed, missing[:, None]], axis=1)
        self._index = Index(
            ndim=placed.shape[1], metric="cos", dtype="f32", connectivity=connectivity, expansion_add=expansion
        )
        self._index.add(np.arange(len(placed), dtype=np.uint64), placed)

    def search(self, user_vectors: np.ndarray, count: int, *, expansion: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """The best items found of each user: items [B, count] int32 and scores [B, count] float32, best first.

        user_vectors: [B, K, D]. Each vector brings `count` candidates; what all of them score is computed exactly, so
        scores are true and only an item may be missed. -1 and -inf where nothing was found. expansion: items looked at
        for each vector; more find more and take longer.
        """
        user_vectors = np.asarray(user_vectors, np.float32)
        self._index.expansion_search = max(expansion, count)
        blocks = [
            self._search(user_vectors[start : start + USERS_AT_ONCE], count)
            for start in range(0, len(user_vectors), USERS_AT_ONCE)
        ]
        if not blocks:
            return np.empty((0, count), np.int32), np.empty((0, count), np.float32)
        items, scores = zip(*blocks, strict=True)
        return np.concatenate(items), np.concatenate(scores)

    def _search(self, users: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        num_users, num_vectors, dim = users.shape
        ends = np.broadcast_to(np.array([1.0, 0.0], np.float32), (num_users, num_vectors, 2))
        queries = np.concatenate([users, ends], axis=2).reshape(-1, dim + 2)
        wanted = min(count, len(self._vectors))
        found: Any = self._index.search(queries, wanted)  # of one query it has no counts
        keys = np.atleast_2d(found.keys)
        counts = found.counts if len(queries) > 1 else np.array([len(found.keys)])
        real = np.arange(wanted)[None, :] < counts[:, None]
        candidates = np.where(real, keys.astype(np.int64), -1).reshape(num_users, -1)
        candidates.sort(axis=1)
        scores = np.einsum("bkd,bcd->bkc", users, self._vectors[candidates]).max(1) + self._bias[candidates]
        again = np.pad(candidates[:, 1:] == candidates[:, :-1], ((0, 0), (1, 0)))
        scores = np.where(again | (candidates < 0), -np.inf, scores)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        scores = np.take_along_axis(scores, order, 1)
        items = np.where(np.isneginf(scores), -1, np.take_along_axis(candidates, order, 1)).astype(np.int32)
        missing = ((0, 0), (0, count - items.shape[1]))
        return np.pad(items, missing, constant_values=-1), np.pad(
            scores.astype(np.float32), missing, constant_values=-np.inf
        )


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Share of the exact lists' items [B, n] that the found lists [B, m] hold, of those that are items (not -1)."""
    held = (exact[:, :, None] == found[:, None, :]).any(2)
    return float(held[exact >= 0].mean())
