"""Filtered rows divided into train, valid and test, and written, one range of users at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import Any

import numpy as np

from jaxrec.data.chronology import NEVER
from jaxrec.data.config import DataConfig
from jaxrec.data.interactions import Interactions
from jaxrec.data.shards.arrays import ArrayWriter
from jaxrec.data.shards.pieces import Dealer
from jaxrec.data.shards.streamed_filters import Filtered
from jaxrec.data.splits import PARTS, assign_parts, why_empty
from jaxrec.errors import UserError

_NEVER_YET = np.iinfo(np.int64).min


@dataclasses.dataclass
class _Part:
    """What is known of one part: rows of each user and item, and the earliest time."""

    users: np.ndarray
    items: np.ndarray
    first_time: int = NEVER

    def add(self, user_ids: np.ndarray, item_ids: np.ndarray, times: np.ndarray | None) -> None:
        """Count rows of users that no other call counts."""
        if len(user_ids):
            first = int(user_ids.min())
            counted = np.bincount(user_ids - first)
            self.users[first : first + len(counted)] += counted
        self.items += np.bincount(item_ids, minlength=len(self.items))
        if times is not None:
            self.first_time = min(self.first_time, int(times.min(initial=NEVER)))

    def counts(self) -> dict[str, int]:
        """As jaxrec.data.filters.counts gives them."""
        return {
            "interactions": int(self.users.sum()),
            "users": int(np.count_nonzero(self.users)),
            "items": int(np.count_nonzero(self.items)),
        }


@dataclasses.dataclass
class Division:
    """split, leakage: as in the provenance of a dataset read at once. raw ids: [U], [I] fixed-width str."""

    raw_users: np.ndarray
    raw_items: np.ndarray
    split: dict[str, Any]
    leakage: dict[str, Any]


def divide(
    found: Filtered, config: DataConfig, folder: pathlib.Path, scratch: pathlib.Path, dealer: Dealer
) -> Division:
    """Write users, items and indptr of each part by user and item, and deal the training pairs.

    Ids that nothing refers to any more are left out, as jaxrec.data.filters.compact does.
    """
    new_users, raw_users = _compact(found.present.users, found.users.raw)
    new_items, raw_items = _compact(found.present.items, found.items.raw)
    parts = {name: _Part(np.zeros(len(raw_users), np.int64), np.zeros(len(raw_items), np.int64)) for name in PARTS}
    early = {name: np.zeros(2, np.int64) for name in PARTS[1:]}
    split: dict[str, Any] = {}
    timed = False
    with contextlib.ExitStack() as stack:
        columns = {
            (name, side): stack.enter_context(ArrayWriter(folder / f"{name}.{side}.npy", np.int32))
            for name in PARTS
            for side in ("users", "items")
        }
        train_times = stack.enter_context(ArrayWriter(scratch / "times.npy", np.int64))
        for bucket in range(len(found.buckets)):
            interactions = found.interactions(bucket)
            if not len(interactions):
                continue
            assigned, record = assign_parts(interactions, config)
            whole = split.get("users_whole_in_train", 0) + record.get("users_whole_in_train", 0)
            split = record | ({"users_whole_in_train": whole} if "users_whole_in_train" in record else {})
            timed = interactions.timestamps is not None
            last = _last_times(interactions, assigned == 0)
            for index, name in enumerate(PARTS):
                part = interactions.take(assigned == index)
                user_ids = new_users[part.user_ids + found.buckets.starts[bucket]]
                item_ids = new_items[part.item_ids]
                order = np.lexsort((item_ids, user_ids))
                user_ids, item_ids = user_ids[order], item_ids[order]
                parts[name].add(user_ids, item_ids, part.timestamps)
                columns[name, "users"].append(user_ids)
                columns[name, "items"].append(item_ids)
                if name == "train":
                    dealer.deal(user_ids, item_ids)
                    if part.timestamps is not None:
                        train_times.append(part.timestamps)
                elif last is not None and part.timestamps is not None:
                    latest = last[part.user_ids]
                    early[name] += np.count_nonzero(part.timestamps < latest), np.count_nonzero(latest != _NEVER_YET)
    split["parts"] = {name: part.counts() for name, part in parts.items()}
    for name, part in parts.items():
        if not split["parts"][name]["interactions"]:
            raise UserError(why_empty(name, config, split["parts"]))
        indptr = np.zeros(len(part.users) + 1, np.int64)
        np.cumsum(part.users, out=indptr[1:])
        np.save(folder / f"{name}.indptr.npy", indptr)
    times = np.load(scratch / "times.npy", mmap_mode="r") if timed else None
    return Division(raw_users, raw_items, split, _leakage(parts, early, times))


def _compact(present: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The new id of each old one [n] int32, and the raw ids that stay."""
    kept = raw[present]
    longest = int(np.char.str_len(kept).max(initial=1))
    return np.cumsum(present, dtype=np.int32) - np.int32(1), kept.astype(f"<U{max(longest, 1)}")


def _last_times(interactions: Interactions, train: np.ndarray) -> np.ndarray | None:
    """The time of each user's last training row, [U] int64; None without times."""
    if interactions.timestamps is None:
        return None
    last = np.full(len(interactions.users), _NEVER_YET, np.int64)
    np.maximum.at(last, interactions.user_ids[train], interactions.timestamps[train])
    return last


def _leakage(parts: dict[str, _Part], early: dict[str, np.ndarray], times: np.ndarray | None) -> dict[str, Any]:
    """As jaxrec.data.leakage.leakage_report of the parts. No pair is in two parts: repeats are left out before."""
    train, targets = parts["train"], {name: parts[name] for name in PARTS[1:]}
    known_users, known_items = train.users > 0, train.items > 0
    return {
        "shared_pairs": {"train_valid": 0, "train_test": 0, "valid_test": 0},
        "unseen": {
            name: {
                "users": int(np.count_nonzero((part.users > 0) & ~known_users)),
                "items": int(np.count_nonzero((part.items > 0) & ~known_items)),
                "interactions_of_unseen_items": int(part.items[~known_items].sum()),
            }
            for name, part in targets.items()
        },
        "users_without_target": {
            name: int(np.count_nonzero(known_users & (part.users == 0))) for name, part in targets.items()
        },
        "time": None
        if times is None
        else {name: _time_report(early[name], times, part.first_time) for name, part in targets.items()},
    }


def _time_report(early: np.ndarray, times: np.ndarray, first_time: int) -> dict[str, Any]:
    step = 1 << 22
    late = sum(int(np.count_nonzero(times[at : at + step] > first_time)) for at in range(0, len(times), step))
    before, known = early.tolist()
    return {
        "before_last_training": before,
        "before_last_training_share": before / max(known, 1),
        "training_after_first": late,
        "training_after_first_share": late / max(len(times), 1),
        "first_time": first_time,
    }
