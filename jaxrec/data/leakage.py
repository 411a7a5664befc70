"""What a split lets training know about validation and test, in numbers and in sentences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from jaxrec.data.filters import distinct, pair_keys
from jaxrec.data.interactions import Interactions


def leakage_report(train: Interactions, valid: Interactions, test: Interactions) -> dict[str, Any]:
    """Counts and shares of what crosses the border between parts over the same id maps, as JSON.

    shared_pairs: (user, item) pairs in both parts. unseen: users and items of a part that training never saw.
    users_without_target: users of training with nothing in the part. time is None without timestamps, else:
    before_last_training: interactions of the part before the user's last training one, with the share of those whose
    user training knows; training_after_first: training interactions after the earliest time of the part.
    """
    parts = {"train": train, "valid": valid, "test": test}
    pairs = {name: distinct(pair_keys(part)) for name, part in parts.items()}
    known_users = _present(train.user_ids, len(train.users))
    known_items = _present(train.item_ids, len(train.items))
    targets = {name: parts[name] for name in ("valid", "test")}
    return {
        "shared_pairs": {
            f"{a}_{b}": len(np.intersect1d(pairs[a], pairs[b], assume_unique=True))
            for a, b in itertools.combinations(parts, 2)
        },
        "unseen": {
            name: {
                "users": _count(_present(part.user_ids, len(known_users)) & ~known_users),
                "items": _count(_present(part.item_ids, len(known_items)) & ~known_items),
                "interactions_of_unseen_items": _count(~known_items[part.item_ids]),
            }
            for name, part in targets.items()
        },
        "users_without_target": {
            name: _count(known_users & ~_present(part.user_ids, len(known_users))) for name, part in targets.items()
        },
        "time": None if train.timestamps is None else {n: _time_report(train, part) for n, part in targets.items()},
    }


def leakage_sentences(report: dict[str, Any]) -> list[str]:
    """The report in plain sentences, one line each; what is clean is said in one sentence together."""
    lines = []
    for pair, shared in report["shared_pairs"].items():
        if shared:
            a, b = pair.split("_")
            lines.append(f"{_counted(shared, 'user-item pair')} in both {a} and {b}.")
    if not lines:
        lines.append("No user-item pair stands in two parts.")
    if report["time"] is None:
        lines.append("There are no timestamps, so leakage in time cannot be measured.")
    for name, time in (report["time"] or {}).items():
        if time["before_last_training"]:
            lines.append(
                f"{_counted(time['before_last_training'], f'{name} interaction')} "
                f"({time['before_last_training_share']:.1%}) earlier than the user's last training one."
            )
        if time["training_after_first"]:
            lines.append(
                f"{_counted(time['training_after_first'], 'training interaction')} "
                f"({time['training_after_first_share']:.1%}) later than the earliest of {name}: training sees the "
                "future of other users."
            )
        if not time["before_last_training"] and not time["training_after_first"]:
            lines.append(f"No training interaction is later than the earliest of {name}.")
    for name, unseen in report["unseen"].items():
        if unseen["users"] or unseen["items"]:
            lines.append(
                f"Never seen in training: {_counted(unseen['users'], 'user')} and {_counted(unseen['items'], 'item')} "
                f"of {name}."
            )
    for name, missing in report["users_without_target"].items():
        if missing:
            lines.append(f"{_counted(missing, 'user')} of training without an interaction in {name}, left out there.")
    return lines


def _time_report(train: Interactions, part: Interactions) -> dict[str, Any]:
    assert train.timestamps is not None
    assert part.timestamps is not None
    never = np.iinfo(np.int64).min
    last = np.full(len(train.users), never, np.int64)
    np.maximum.at(last, train.user_ids, train.timestamps)
    known = last[part.user_ids] != never
    early = _count(part.timestamps < last[part.user_ids])
    first = int(part.timestamps.min(initial=np.iinfo(np.int64).max))
    late = _count(train.timestamps > first)
    return {
        "before_last_training": early,
        "before_last_training_share": early / max(_count(known), 1),
        "training_after_first": late,
        "training_after_first_share": late / max(len(train), 1),
        "first_time": first,
    }


def _present(ids: np.ndarray, size: int) -> np.ndarray:
    """Mask [size] bool of the ids that occur."""
    return np.bincount(ids, minlength=size) > 0


def _count(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask))


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
