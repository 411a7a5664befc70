"""The training sequences of all users, one after the other, for models that learn at all positions."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.chronology import in_order, times_of
from jaxrec.data.dataset import Dataset
from jaxrec.data.histories import border_times
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingStream:
    """The sequence of user u is item_ids[indptr[u]:indptr[u + 1]]: inputs are all but its last, targets all but its
    first. Nothing for users with fewer than two events.

    indptr: [U + 1] int32. item_ids: [n] int32, the latest of a user last.
    """

    indptr: np.ndarray
    item_ids: np.ndarray

    @property
    def num_targets(self) -> int:
        """Inputs with something after them."""
        return int(np.maximum(np.diff(self.indptr) - 1, 0).sum())


def training_stream(dataset: Dataset, max_length: int, merged: bool = False) -> TrainingStream:
    """Each user's last max_length + 1 training events in order.

    merged: of all behaviours, auxiliary ones of times before the user's first held-out target. Raises UserError where
    no user has two.
    """
    auxiliary = dataset.auxiliary if merged else None
    if auxiliary is not None:
        auxiliary = auxiliary.take(times_of(auxiliary) < border_times(dataset, "valid")[auxiliary.user_ids])
    events = in_order([dataset.train], auxiliary, dataset)
    sizes = np.diff(events.indptr)
    users = events.user_ids
    from_end = events.indptr[1:][users] - 1 - np.arange(len(users))
    rows = (from_end <= max_length) & (sizes[users] >= 2)
    if not rows.any():
        raise UserError("data: no user has 2 training events, so no sequence has an input and a target")
    kept = np.where(sizes >= 2, np.minimum(sizes, max_length + 1), 0)
    indptr = np.concatenate([[0], np.cumsum(kept)])
    if indptr[-1] > np.iinfo(np.int32).max:
        raise UserError(f"data: {indptr[-1]:,} events of training sequences; allowed: up to 2,147,483,647")
    return TrainingStream(indptr.astype(np.int32), events.item_ids[rows])
