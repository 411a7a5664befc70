"""Every training event of the target behaviour with what its user did before it: prefix augmentation without copies."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.chronology import in_order, last_times, times_of
from jaxrec.data.dataset import Dataset
from jaxrec.data.histories import border_times
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingTargets:
    """Targets [E], by user and in order of time, and where their histories lie.

    user_ids, item_ids: [E] int32. For each behaviour, the target behaviour last: events: [n] int32, item ids of all
    users in order; the history of target e is events[starts[e]:ends[e]], the latest last, at most max_length long
    and empty where there is none. starts, ends: [E] int32.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    starts: tuple[np.ndarray, ...]
    ends: tuple[np.ndarray, ...]
    events: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.user_ids)


def training_targets(dataset: Dataset, max_length: int) -> TrainingTargets:
    """Every target-behaviour event of the training part with at least one event of any behaviour before it.

    Of the target behaviour, what came before it in the chronology is its history; of an auxiliary behaviour, what
    has a strictly earlier time. Raises UserError where no event has anything before it.
    """
    auxiliary = dataset.auxiliary
    if auxiliary is not None:
        # What follows a user's last target is no target's history; what follows a held-out one never gets near.
        last = np.minimum(last_times(dataset.train, dataset.num_users), border_times(dataset, "valid"))
        auxiliary = auxiliary.take(times_of(auxiliary) < last[auxiliary.user_ids])
    events = in_order([dataset.train], auxiliary, dataset)
    users = events.user_ids
    places = np.flatnonzero(events.behaviors == dataset.num_behaviors - 1)
    starts, ends, items = [], [], []
    for behavior in range(dataset.num_behaviors):
        rows = events.behaviors == behavior
        before = np.concatenate([[0], np.cumsum(rows)])
        if before[-1] > np.iinfo(np.int32).max:
            raise UserError(f"data: {before[-1]:,} events of one behaviour; allowed: up to 2,147,483,647")
        first = before[events.indptr[:-1]][users[places]]
        end = before[places]
        starts.append(np.maximum(first, end - max_length).astype(np.int32))
        ends.append(end.astype(np.int32))
        items.append(events.item_ids[rows])
    some = np.any([end > start for start, end in zip(starts, ends, strict=True)], axis=0)
    if not some.any():
        raise UserError(
            f"data: none of {len(places)} training interactions has an event before it; allowed: at least one"
        )
    places = places[some]
    return TrainingTargets(
        user_ids=users[places],
        item_ids=events.item_ids[places],
        starts=tuple(start[some] for start in starts),
        ends=tuple(end[some] for end in ends),
        events=tuple(items),
    )
