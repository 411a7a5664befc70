"""Review texts of a dataset: which row wrote which, and what the training part says of each item and user."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.packed_text import PackedText
from jaxrec.data.stable_hash import pair_hashes

_CHOICE_SEED = 1_907_11
"""Which reviews are chosen where there are more than wanted; apart from the seeds of splits."""


def keep_used(parts: Sequence[Interactions], reviews: PackedText) -> tuple[list[Interactions], PackedText]:
    """The parts and a table of only those texts that one of their rows refers to, in the same order."""
    used = np.zeros(len(reviews) + 1, bool)  # the last place takes the -1 of rows without a review
    for part in parts:
        if part.reviews is not None:
            used[part.reviews] = True
    used[-1] = False
    rows = np.flatnonzero(used)
    places = np.full(len(used), -1, np.int32)
    places[rows] = np.arange(len(rows), dtype=np.int32)
    moved = [
        part if part.reviews is None else dataclasses.replace(part, reviews=places[part.reviews]) for part in parts
    ]
    return moved, reviews if len(rows) == len(reviews) else reviews.take(rows)


def training_reviews(
    dataset: Dataset, side: Literal["user", "item"], most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reviews of the training part, and of no other, by user or by item: (indptr [n + 1] int64, rows [m] int32).

    rows are those of dataset.reviews; the reviews of user or item k are rows[indptr[k]:indptr[k + 1]]. At most `most`
    of each: a random choice that follows from raw ids alone, so neither the order of rows nor other users change it.

    Raises: ValueError where the dataset holds no reviews.
    """
    train = dataset.train
    if train.reviews is None:
        raise ValueError(f"data set {dataset.name} holds no reviews")
    ids = train.user_ids if side == "user" else train.item_ids
    number = dataset.num_users if side == "user" else dataset.num_items
    places = np.flatnonzero(train.reviews >= 0)
    hashes = pair_hashes(train, _CHOICE_SEED)[places]
    places = places[np.lexsort((places, hashes, ids[places]))]
    owners = ids[places]
    sizes = np.bincount(owners, minlength=number)
    if most is not None:
        rank = np.arange(len(places)) - (np.cumsum(sizes) - sizes)[owners]
        places = places[rank < most]
        sizes = np.minimum(sizes, most)
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return indptr, train.reviews[places]


def training_documents(dataset: Dataset, side: Literal["user", "item"], most: int, chars: int) -> tuple[str, ...]:
    """One text a user or item out of up to `most` training reviews, each cut to `chars` characters; "" for none."""
    indptr, rows = training_reviews(dataset, side, most)
    reviews = dataset.reviews
    if reviews is None:
        raise ValueError(f"data set {dataset.name} holds no reviews")
    texts = [" ".join(reviews[row].split())[:chars] for row in rows.tolist()]
    return tuple(" ".join(texts[start:end]) for start, end in itertools.pairwise(indptr.tolist()))
