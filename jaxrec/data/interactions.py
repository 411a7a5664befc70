"""The columns that every reader yields and every filter and split works on."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class IdMap:
    """Raw ids in the order of their integer ids, so that results can be given back in the user's own.

    raw: [n] NumPy array of fixed-width str, no repeats.
    """

    raw: np.ndarray

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {raw: index for index, raw in enumerate(self.raw.tolist())}

    def encode(self, raw_ids) -> np.ndarray:
        """Integer ids [n] int32 of raw ids (taken as str); -1 where a raw id is not in the map."""
        return np.asarray([self._index.get(str(raw), -1) for raw in raw_ids], dtype=np.int32)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """Raw ids (str) of integer ids of any shape."""
        return self.raw[np.asarray(ids)]


@dataclasses.dataclass(frozen=True, eq=False)
class Interactions:
    """Who did what to which item: parallel columns and the two id maps they refer to.

    user_ids, item_ids: [n] int32, from 0. ratings: [n] float32 or None. timestamps: [n] int64 seconds or None.
    behaviors: [n] int8 index into behavior_names, or None. parts: [n] int8 (0 train, 1 valid, 2 test) where the
    source came divided, else None. reviews: [n] int32, the row's text in the table of review texts beside these
    columns (Dataset.reviews), -1 where it has none; None where no texts were read. Order is the order of the source
    (chronological where the source is).
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    users: IdMap
    items: IdMap
    ratings: np.ndarray | None = None
    timestamps: np.ndarray | None = None
    behaviors: np.ndarray | None = None
    behavior_names: tuple[str, ...] = ()
    parts: np.ndarray | None = None
    reviews: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user_ids)

    def take(self, rows: np.ndarray) -> Interactions:
        """The given rows (a bool mask [n] or indices), id maps unchanged."""

        def column(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return dataclasses.replace(
            self,
            user_ids=self.user_ids[rows],
            item_ids=self.item_ids[rows],
            ratings=column(self.ratings),
            timestamps=column(self.timestamps),
            behaviors=column(self.behaviors),
            parts=column(self.parts),
            reviews=column(self.reviews),
        )
