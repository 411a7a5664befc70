"""Which rows of the training part, and of no other, speak for a user or an item."""

from __future__ import annotations

from typing import Literal

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.stable_hash import pair_hashes

_CHOICE_SEED = 2_602_05474
"""Which rows are chosen where there are more than wanted; apart from the seeds of splits."""


def training_rows(
    dataset: Dataset, side: Literal["user", "item"], most: int, reviewed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of dataset.train by user or by item: (indptr [n + 1] int64, rows [m] int64).

    The rows of user or item k are rows[indptr[k]:indptr[k + 1]]: at most `most`, one a pair; those with a review
    first, then a random choice that follows from raw ids alone, so neither the order of rows nor others change it.
    reviewed: those with a review only.
    """
    train = dataset.train
    has_review = np.zeros(len(train), bool) if train.reviews is None else train.reviews >= 0
    places = np.flatnonzero(has_review) if reviewed else np.arange(len(train))
    owners = (train.user_ids if side == "user" else train.item_ids)[places]
    others = (train.item_ids if side == "user" else train.user_ids)[places]
    hashes = pair_hashes(train, _CHOICE_SEED)[places]
    order = np.lexsort((places, hashes, ~has_review[places], owners))
    places, owners, others = places[order], owners[order], others[order]
    # Of a pair that stands twice, the first of these rows.
    pairs = owners.astype(np.int64) * (max(dataset.num_users, dataset.num_items) + 1) + others
    first = np.zeros(len(pairs), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    places, owners = places[first], owners[first]
    number = dataset.num_users if side == "user" else dataset.num_items
    sizes = np.bincount(owners, minlength=number)
    rank = np.arange(len(places)) - (np.cumsum(sizes) - sizes)[owners]
    places = places[rank < most]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(sizes, most))]).astype(np.int64)
    return indptr, places.astype(np.int64)
