"""A prepared dataset: what training, evaluation and serving read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.packed_text import PackedText

if TYPE_CHECKING:
    from jaxrec.data.shards.folder import Shards

_COUNTED_AT_ONCE = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint parts over one pair of id maps, with where they came from.

    sha256 covers content and recipe. provenance is JSON: source files and hashes, each step with counts before and
    after, rows skipped, the leakage report. item_text: one string an item, "" where there is none, or None where
    the source has no text at all. reviews: the review texts that the parts' `reviews` columns refer to, of all parts:
    whoever makes features of them reads those of train only (jaxrec.data.reviews.training_reviews).
    auxiliary: events of the other behaviours (data.behaviors), of all times, over the same id maps, behavior_names
    shallow first, the target last; None where there is one behaviour. Whoever reads them leaves out what came after
    a target.
    item_fields: categorical field of items -> raw values [I] str, "" where unknown.
    shards: where the training pairs lie in shards on disk (jaxrec.prepare --shards), else None. With them, columns are
    memory-mapped, and rows are by user and item: they tell nothing of order or time.
    """

    name: str
    source: Literal["path", "sample"]
    train: Interactions
    valid: Interactions
    test: Interactions
    sha256: str
    provenance: dict[str, Any]
    item_text: tuple[str, ...] | None = None
    reviews: PackedText | None = None
    auxiliary: Interactions | None = None
    item_fields: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    shards: Shards | None = None

    @property
    def users(self) -> IdMap:
        """Raw user ids."""
        return self.train.users

    @property
    def items(self) -> IdMap:
        """Raw item ids."""
        return self.train.items

    @property
    def num_users(self) -> int:
        """Number of users in the id map."""
        return len(self.train.users)

    @property
    def num_items(self) -> int:
        """Size of the catalogue; items that training never saw are in it."""
        return len(self.train.items)

    @property
    def behavior_names(self) -> tuple[str, ...]:
        """Names of the behaviours, shallow first, the target last; () where there is one behaviour."""
        return () if self.auxiliary is None else self.auxiliary.behavior_names

    @property
    def num_behaviors(self) -> int:
        """How many behaviours there are: at least 1, the target."""
        return max(len(self.behavior_names), 1)

    @property
    def num_events(self) -> int:
        """Events of all parts and behaviours."""
        auxiliary = 0 if self.auxiliary is None else len(self.auxiliary)
        return len(self.train) + len(self.valid) + len(self.test) + auxiliary

    @property
    def num_unseen_items(self) -> int:
        """Items of the catalogue without a training interaction."""
        return int(np.count_nonzero(self.item_counts == 0))

    @property
    def item_counts(self) -> np.ndarray:
        """Training interactions of each item, [I] int32."""
        counts, items = np.zeros(self.num_items, np.int64), self.train.item_ids
        for first in range(0, len(items), _COUNTED_AT_ONCE):
            counts += np.bincount(items[first : first + _COUNTED_AT_ONCE], minlength=self.num_items)
        return counts.astype(np.int32)


def positives_csr(part: Interactions, num_users: int) -> tuple[np.ndarray, np.ndarray]:
    """Each user's items, sorted and without repeats: (indptr [num_users+1] int32, item_ids [n] int32)."""
    keys = np.sort(part.user_ids.astype(np.int64) * (len(part.items) + 1) + part.item_ids)
    keys = keys[np.diff(keys, prepend=-1) != 0]  # np.unique hashes since NumPy 2.3: many times slower
    users, items = np.divmod(keys, len(part.items) + 1)
    indptr = np.zeros(num_users + 1, np.int32)
    np.cumsum(np.bincount(users, minlength=num_users), out=indptr[1:])
    return indptr, items.astype(np.int32)
