"""What the training history says of users, in groups (UiM Eq. 3: acceptance of new items, behaviour patterns).

Three figures of each user, each cut into thirds of all users: how much they do, how popular what they choose is, and
how varied. The paper names the groups and not the figures; these are our reading (MODELS 1.4, item 2).
"""

from __future__ import annotations

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.item_words import ItemWords
from jaxrec.data.profiles.table import Field, field_of

ACTIVITY, POPULARITY, ACCEPTANCE = "activity", "popularity_affinity", "acceptance_of_new_items"
ACTIVITY_GROUPS = ("occasional", "regular", "frequent")
POPULARITY_GROUPS = ("niche", "mixed", "mainstream")
ACCEPTANCE_GROUPS = ("sticks to few kinds", "tries some kinds", "open to many kinds")


def behaviour_fields(dataset: Dataset, words: ItemWords) -> list[tuple[Field, np.ndarray]]:
    """Three fields (two where no item has a category) from the training part alone; users without it are unknown."""
    figures = [
        (ACTIVITY, "number of training items", ACTIVITY_GROUPS, activity(dataset)),
        (POPULARITY, "mean log popularity of the training items", POPULARITY_GROUPS, popularity_affinity(dataset)),
    ]
    if any(words.categories):
        source = "entropy of the categories of the training items"
        figures.append((ACCEPTANCE, source, ACCEPTANCE_GROUPS, category_entropy(dataset, words)))
    fields = []
    for name, source, groups, values in figures:
        place = thirds(values)
        named = [groups[third] if third >= 0 else None for third in place.tolist()]
        fields.append(field_of(name, f"{source}, in thirds of all users", named, groups))
    return fields


def activity(dataset: Dataset) -> np.ndarray:
    """Different training items of each user, [U] float64; NaN where there are none."""
    indptr, _ = positives_csr(dataset.train, dataset.num_users)
    counts = np.diff(indptr).astype(np.float64)
    return np.where(counts > 0, counts, np.nan)


def popularity_affinity(dataset: Dataset) -> np.ndarray:
    """Mean of log(1 + training users) over each user's training items, [U] float64; NaN where there are none."""
    indptr, items = positives_csr(dataset.train, dataset.num_users)
    popularity = np.log1p(np.bincount(items, minlength=dataset.num_items).astype(np.float64))
    users = np.repeat(np.arange(dataset.num_users), np.diff(indptr))
    sums = np.bincount(users, weights=popularity[items], minlength=dataset.num_users)
    return _ratio(sums, np.diff(indptr))


def category_entropy(dataset: Dataset, words: ItemWords) -> np.ndarray:
    """Entropy in nats of the categories of each user's training items, [U] float64; NaN where they have none.

    An item of several categories counts as an equal part of each.
    """
    indptr, items = positives_csr(dataset.train, dataset.num_users)
    _, shares = words.shares()
    users = np.repeat(np.arange(dataset.num_users), np.diff(indptr))
    sums = np.stack(
        [np.bincount(users, weights=column[items], minlength=dataset.num_users) for column in shares.T], axis=1
    )
    total = sums.sum(axis=1)
    part = _ratio(sums, total[:, None])
    logs = np.log(np.where(part > 0, part, 1.0))
    # Adding zero turns the -0.0 of a single category into 0.0.
    return -(part * logs).sum(axis=1) + 0.0


def thirds(values: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for each value [n], by the terciles of those that are numbers; -1 for NaN. Equals stay together."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), -1, np.int32)
    edges = np.quantile(values[known], (1 / 3, 2 / 3))
    place = np.searchsorted(edges, np.where(known, values, 0.0), side="left")
    return np.where(known, place, -1).astype(np.int32)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(np.broadcast(sums, counts).shape, np.nan), where=counts > 0)
