"""What each user did before the target of a part: the histories that evaluation and serving read.

Nothing at or after the target reaches a history (the leak guard): target events are those of earlier parts that are
not later than it, auxiliary ones those of strictly earlier times. Where a user has several targets in a part, the
first of them counts.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from jaxrec.data.chronology import NEVER, Chronology, first_times, in_order, times_of
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions


def histories(
    dataset: Dataset, at: Literal["valid", "test", "serve"], max_length: int, merged: bool = False
) -> tuple[np.ndarray, ...]:
    """One [U, max_length] int32 a behaviour, the target behaviour last: item id + 1, the latest at the right, 0 to its
    left. merged: one array of the events of all behaviours by time.

    at: before the targets of validation, before those of test (with the validation interactions), or of everything.
    A user without a target in the part has everything up to the part behind it, which is all where nothing is held out.
    """
    known = known_events(dataset, at)
    if merged:
        return (_latest(known, max_length),)
    if dataset.num_behaviors == 1:
        return (_latest(known, max_length),)
    return tuple(_latest(known.of(behavior), max_length) for behavior in range(dataset.num_behaviors))


def known_events(dataset: Dataset, at: Literal["valid", "test", "serve"]) -> Chronology:
    """All events that `histories` may show, each user's in order."""
    parts = {
        "valid": (dataset.train,),
        "test": (dataset.train, dataset.valid),
        "serve": (dataset.train, dataset.valid, dataset.test),
    }[at]
    auxiliary = dataset.auxiliary
    if dataset.train.timestamps is not None and at != "serve":
        border = border_times(dataset, at)
        parts = [_kept(part, times_of(part) <= border[part.user_ids]) for part in parts]
        if auxiliary is not None:
            auxiliary = _kept(auxiliary, times_of(auxiliary) < border[auxiliary.user_ids])
    return in_order(parts, auxiliary, dataset)


def border_times(dataset: Dataset, at: Literal["valid", "test"]) -> np.ndarray:
    """The time of each user's first target in a part, or in the next where there is none: [U] int64, else NEVER."""
    test = first_times(dataset.test, dataset.num_users)
    if at == "test":
        return test
    valid = first_times(dataset.valid, dataset.num_users)
    return np.where(valid == NEVER, test, valid)


def _kept(part: Interactions, rows: np.ndarray) -> Interactions:
    return part if rows.all() else part.take(rows)


def _latest(events: Chronology, max_length: int) -> np.ndarray:
    """[U, max_length] int32 of item id + 1, the latest at the right."""
    num_users = len(events.indptr) - 1
    users = events.user_ids
    from_end = events.indptr[1:][users] - 1 - np.arange(len(users))
    rows = from_end < max_length
    table = np.zeros((num_users, max_length), np.int32)
    table[users[rows], max_length - 1 - from_end[rows]] = events.item_ids[rows] + 1
    return table
