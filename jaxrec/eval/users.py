"""Who is ranked, what they should find and what is hidden from them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.interactions import Interactions
from jaxrec.data.stable_hash import user_hashes

Part = Literal["valid", "test"]

_DRAWN = 0x5553  # seed of the users that are drawn: the same in every run
_STRETCH = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class RankedUsers:
    """Users with at least one target, ordered by id; two ragged lists an user, as indptr and flat items.

    user_ids: [n] int32. target_*: what should be found. masked_*: seen items that are no candidates; a target is
    never masked, so the two lists share no item. indptr: [n + 1] int32; items: int32, sorted, without repeats.
    masks: the parts whose items are masked. num_without_target: users of the id map who are left out.
    """

    user_ids: np.ndarray
    target_indptr: np.ndarray
    target_items: np.ndarray
    masked_indptr: np.ndarray
    masked_items: np.ndarray
    num_items: int
    masks: tuple[str, ...]
    num_without_target: int

    @property
    def num_targets(self) -> np.ndarray:
        """Targets of each user, [n] int32, at least 1."""
        return np.diff(self.target_indptr)

    @property
    def num_candidates(self) -> np.ndarray:
        """Items that each user's ranking holds, targets included, [n] int32."""
        return self.num_items - np.diff(self.masked_indptr)


def ranked_users(dataset: Dataset, part: Part, mask_valid_at_test: bool, max_users: int | None = None) -> RankedUsers:
    """Targets from `part`; masked are train items, and at test also those of valid where told so.

    max_users: of more users with a target so many are drawn, by their raw ids, and the others left out.
    """
    targets = dataset.valid if part == "valid" else dataset.test
    masks = ("train", "valid") if part == "test" and mask_valid_at_test else ("train",)
    seen = [dataset.train, dataset.valid][: len(masks)]
    with_target = _present(targets, dataset.num_users)
    if max_users is not None and len(with_target) > max_users:
        hashes = user_hashes(dataset.train, _DRAWN)[with_target]
        drawn = np.zeros(dataset.num_users, bool)
        drawn[with_target[np.argsort(hashes, kind="stable")[:max_users]]] = True
        targets, *seen = (_of_users(rows, drawn) for rows in (targets, *seen))
    users = from_interactions(targets, seen, dataset.num_users, dataset.num_items, masks)
    return dataclasses.replace(users, num_without_target=dataset.num_users - len(with_target))


def _present(part: Interactions, num_users: int) -> np.ndarray:
    """Ids of the users with a row, ascending. A stretch of rows at a time: they may be more than memory holds."""
    present = np.zeros(num_users, bool)
    for first in range(0, len(part), _STRETCH):
        present[part.user_ids[first : first + _STRETCH]] = True
    return np.flatnonzero(present)


def _of_users(part: Interactions, wanted: np.ndarray) -> Interactions:
    """The rows of the users that a mask [U] names."""
    stretches = range(0, len(part), _STRETCH)
    rows = [first + np.flatnonzero(wanted[part.user_ids[first : first + _STRETCH]]) for first in stretches]
    return part.take(np.concatenate([np.zeros(0, np.int64), *rows]))


def from_interactions(
    targets: Interactions, seen: list[Interactions], num_users: int, num_items: int, masks: tuple[str, ...]
) -> RankedUsers:
    """The two lists of every user with a target; repeats fall away, and a target that is also seen stays a target."""
    target_indptr, target_items = positives_csr(targets, num_users)
    target_keys = _keys(target_indptr, target_items, num_items)
    seen_keys = np.unique(np.concatenate([part.user_ids.astype(np.int64) * num_items + part.item_ids for part in seen]))
    seen_keys = np.setdiff1d(seen_keys, target_keys, assume_unique=True)
    user_ids = np.flatnonzero(np.diff(target_indptr)).astype(np.int32)
    seen_keys = seen_keys[np.isin(seen_keys // num_items, user_ids)]
    row_of_user = np.full(num_users, -1, np.int64)
    row_of_user[user_ids] = np.arange(len(user_ids))
    masked_counts = np.bincount(row_of_user[seen_keys // num_items], minlength=len(user_ids))
    return RankedUsers(
        user_ids=user_ids,
        target_indptr=_indptr(np.diff(target_indptr)[user_ids]),
        target_items=target_items,
        masked_indptr=_indptr(masked_counts),
        masked_items=(seen_keys % num_items).astype(np.int32),
        num_items=num_items,
        masks=masks,
        num_without_target=num_users - len(user_ids),
    )


def _without(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Sorted keys without repeats and without those of the sorted others."""
    fresh = np.ones(len(keys), bool)
    fresh[1:] = keys[1:] != keys[:-1]
    place = np.minimum(np.searchsorted(others, keys), max(len(others) - 1, 0))
    return keys[fresh & (others[place] != keys)] if len(others) else keys[fresh]


def _indptr(counts: np.ndarray) -> np.ndarray:
    indptr = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    return indptr


def _keys(indptr: np.ndarray, items: np.ndarray, num_items: int) -> np.ndarray:
    return np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr)) * num_items + items
