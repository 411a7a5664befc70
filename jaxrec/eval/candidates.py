"""The candidates of sampled99: each target among 99 items that its user never had, drawn once and kept."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.errors import UserError
from jaxrec.eval.users import Part

NUM_NEGATIVES = 99
_STREAM = {"valid": 1, "test": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """user_ids: [n] int32, ascending. target_ids: [n] int32. negative_ids: [n, 99] int32, -1 where a user has had so
    much of the catalogue that fewer are left. num_without_target: users of the id map who are left out."""

    user_ids: np.ndarray
    target_ids: np.ndarray
    negative_ids: np.ndarray
    num_without_target: int

    @property
    def sha256(self) -> str:
        """Of users, targets and negatives, in this order."""
        digest = hashlib.sha256()
        for array in (self.user_ids, self.target_ids, self.negative_ids):
            digest.update(np.ascontiguousarray(array, "<i4").tobytes())
        return digest.hexdigest()


def draw_candidates(dataset: Dataset, part: Part, seed: int) -> Candidates:
    """Uniform, without repeats, outside all that the user had in any part and behaviour; a function of the seed.

    Raises UserError where a user has several targets: a hit among 100 would have no one meaning.
    """
    targets = dataset.valid if part == "valid" else dataset.test
    users, count = np.unique(targets.user_ids, return_counts=True)
    if len(count) and count.max() > 1:
        raise UserError(
            f"eval.protocols: sampled99 ranks one target a user, but {int((count > 1).sum())} users have several in "
            f"the {part} part; allowed: full, or data.split leave_one_out"
        )
    target_ids = np.empty(len(users), np.int32)
    target_ids[np.searchsorted(users, targets.user_ids)] = targets.item_ids
    keys = _seen_keys(dataset, users)
    negatives = _draw(np.random.default_rng([seed, _STREAM[part]]), keys, len(users), dataset.num_items)
    return Candidates(users.astype(np.int32), target_ids, negatives, dataset.num_users - len(users))


def _seen_keys(dataset: Dataset, users: np.ndarray) -> np.ndarray:
    """row * num_items + item of everything that the users had, sorted and without repeats; row: place among users."""
    row_of_user = np.full(dataset.num_users, -1, np.int64)
    row_of_user[users] = np.arange(len(users))
    parts: list[Interactions] = [dataset.train, dataset.valid, dataset.test]
    if dataset.auxiliary is not None:
        parts.append(dataset.auxiliary)
    keys = []
    for part in parts:
        rows = row_of_user[part.user_ids]
        keys.append((rows * dataset.num_items + part.item_ids)[rows >= 0])
    joined = np.sort(np.concatenate(keys))
    return joined[np.diff(joined, prepend=-1) != 0]


def _draw(rng: np.random.Generator, seen_keys: np.ndarray, num_rows: int, num_items: int) -> np.ndarray:
    """[num_rows, 99] int32 distinct unseen items a row, -1 behind the last where fewer are left.

    Floyd's method draws distinct places among the unseen, for all rows at once; a place becomes an item by counting
    the seen items below it.
    """
    seen_rows, seen_items = np.divmod(seen_keys, num_items)
    indptr = np.searchsorted(seen_rows, np.arange(num_rows + 1))
    unseen = num_items - np.diff(indptr)
    places = np.full((num_rows, NUM_NEGATIVES), -1, np.int64)
    for column in range(NUM_NEGATIVES):
        last = unseen - NUM_NEGATIVES + column
        # Where fewer than 99 are left, the first columns stay empty and the rest are all that there is.
        drawn = np.floor(rng.random(num_rows) * (last + 1)).astype(np.int64)
        taken = (places[:, :column] == drawn[:, None]).any(axis=1)
        places[:, column] = np.where(last >= 0, np.where(taken, last, drawn), -1)
    # The j-th seen item of a row has (item - j) unseen ones below it: ascending, so a search finds how many to skip.
    below = seen_items - (np.arange(len(seen_items)) - indptr[seen_rows])
    keys = seen_rows * (num_items + 1) + below
    wanted = np.arange(num_rows)[:, None] * (num_items + 1) + places
    skipped = np.searchsorted(keys, wanted.ravel(), "right").reshape(places.shape) - indptr[:-1, None]
    return np.where(places >= 0, places + skipped, -1).astype(np.int32)
