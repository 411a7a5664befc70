"""Which users the language model learns from, which choose its best epoch, which are ranked (SEALR, section 3.1)."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.stable_hash import user_hashes
from jaxrec.errors import UserError
from jaxrec.models.sealr_config import RankingConfig, TuningConfig

_SEED = 7_309
"""Of the order of users; apart from the seeds of splits, of noise and of other choices of users."""


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Three disjoint groups of users, [n] int32 each, in the order in which limits cut them."""

    tuning: np.ndarray
    validation: np.ndarray
    evaluation: np.ndarray


def halves(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The users who may be tuned on and those who are evaluated: [n] int32 each, ordered by a hash of the raw id.

    All users with a training history and a target in both held-out parts.
    Raises: UserError where a user has several targets in a part, or fewer than four users are left.
    """
    users = np.intersect1d(_one_target(dataset.valid, "valid"), _one_target(dataset.test, "test"))
    users = np.intersect1d(users, dataset.train.user_ids)
    if len(users) < 4:
        raise UserError(
            f"data: {dataset.name} has {len(users)} users with a history and two held-out items; "
            "allowed: 4 or more, with data.split leave_one_out"
        )
    hashes = user_hashes(dataset.train, _SEED)
    ordered = users[np.argsort(hashes[users], kind="stable")].astype(np.int32)
    return ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]


def divide(dataset: Dataset, tuning: TuningConfig, ranking: RankingConfig) -> Division:
    """Users of one half for tuning and its validation, users of the other to be evaluated.

    tuning.share counts among all users of both halves, up to the whole half. A smaller share or limit takes a part of
    what a larger one takes, and validation users stay validation users. Raises: UserError as `halves`, and where too
    few users are left to tune and to validate.
    """
    first, second = halves(dataset)
    count = min(len(first), round(tuning.share * (len(first) + len(second))))
    if tuning.user_limit is not None:
        count = min(count, tuning.user_limit)
    if count < 2:
        raise UserError(
            f"tuning.share: found {tuning.share}, which is {count} of {len(first) + len(second)} users; "
            "allowed: a share that leaves 2 or more, one of them for validation"
        )
    chosen = first[:count]
    # The first user and every further 1 / valid_share-th; the slack undoes the rounding of multiples.
    steps = np.ceil(tuning.valid_share * np.arange(count + 1) - 1e-9)
    validation = np.diff(steps) > 0
    if validation.all():
        raise UserError(
            f"tuning.valid_share: found {tuning.valid_share}, which leaves none of {count} users to tune on"
        )
    return Division(chosen[~validation], chosen[validation], second[: ranking.user_limit])


def _one_target(part: Interactions, name: str) -> np.ndarray:
    """Users of a part, sorted."""
    users, count = np.unique(part.user_ids, return_counts=True)
    if len(count) and count.max() > 1:
        raise UserError(
            f"data.split: {int((count > 1).sum())} users have several targets in the {name} part, but prompts are "
            "answered by one each; allowed: leave_one_out"
        )
    return users
