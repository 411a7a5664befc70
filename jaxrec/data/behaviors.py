"""Which events of a source are which behaviour: named, joined, counted, and divided into target and auxiliary."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.filters import first_of_pairs
from jaxrec.data.interactions import Interactions
from jaxrec.errors import UserError

MAX_BEHAVIORS = 16
_ALLOWED = "allowed: name=source or name=source+source, such as click=view favor=cart+buy, the target last"


def check_behaviors(config: DataConfig) -> None:
    """Raise UserError for behaviours that no source could satisfy."""
    named = parse_behaviors(config.behaviors)
    if config.implied != "keep" and len(named) < 2:
        raise UserError(f"data.implied: found {config.implied}, allowed: keep, where data.behaviors names one or none")
    if config.implied_within < 0:
        raise UserError(f"data.implied_within: found {config.implied_within}, allowed: 0 seconds or more")
    if named and config.filter.behavior is not None:
        raise UserError(
            f"data.filter.behavior: found {config.filter.behavior} with data.behaviors, which says already what is kept"
        )


def parse_behaviors(behaviors: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Name -> names in the source, in the given order. Raises UserError."""
    parsed: dict[str, tuple[str, ...]] = {}
    used: dict[str, str] = {}
    if len(behaviors) > MAX_BEHAVIORS:
        raise UserError(f"data.behaviors: found {len(behaviors)}, allowed: up to {MAX_BEHAVIORS}")
    for entry in behaviors:
        name, equals, right = (piece.strip() for piece in entry.partition("="))
        sources = tuple(source.strip() for source in right.split("+"))
        if not (name and equals and all(sources)):
            raise UserError(f"data.behaviors: found {entry!r}, {_ALLOWED}")
        if name in parsed:
            raise UserError(f"data.behaviors: found {name} twice, allowed: each name once; join with +")
        for source in sources:
            if source in used:
                raise UserError(f"data.behaviors: {source} is both {used[source]} and {name}, allowed: one of them")
            used[source] = name
        parsed[name] = sources
    return parsed


def assign_behaviors(interactions: Interactions, behaviors: tuple[str, ...]) -> tuple[Interactions, dict[str, Any]]:
    """The events of the named behaviours, in their order, and a JSON record of what became of the others.

    Of the events of one user with one item in a joined behaviour only the first is kept. Raises UserError where the
    source lacks a named behaviour, its times are needed and not there, or a behaviour has no event.
    """
    named = parse_behaviors(behaviors)
    names = interactions.behavior_names
    if interactions.behaviors is None:
        raise UserError(
            "data.behaviors: the source has no behaviours (data.columns.behavior names their column); allowed: none"
        )
    if len(named) > 1 and interactions.timestamps is None:
        raise UserError(
            "data.behaviors: the source has no times (data.columns.timestamp names their column), so behaviours cannot "
            "be brought into one order"
        )
    index = np.full(len(names), -1, np.int8)
    for place, (name, sources) in enumerate(named.items()):
        for source in sources:
            if source not in names:
                raise UserError(f"data.behaviors: {name}={source}, but the source has {', '.join(names)}")
            index[names.index(source)] = place
    sizes = np.bincount(interactions.behaviors, minlength=len(names))
    left_out = {name: int(size) for name, size, place in zip(names, sizes, index, strict=True) if place < 0}
    rows = index[interactions.behaviors] >= 0
    events = interactions if rows.all() else interactions.take(rows)
    assert events.behaviors is not None
    events = dataclasses.replace(events, behaviors=index[events.behaviors], behavior_names=tuple(named))
    repeats = {}
    for place, (name, sources) in enumerate(named.items()):
        if len(sources) > 1:
            events, repeats[name] = _first_of_joined(events, place)
    record = {
        "named": {name: list(sources) for name, sources in named.items()},
        "left_out": left_out,
        "repeats_of_joined": repeats,
    }
    return events, record


def _first_of_joined(events: Interactions, place: int) -> tuple[Interactions, int]:
    """Where one event implies another (a cart before a purchase) they are one, the first."""
    rows = np.flatnonzero(events.behaviors == place)
    repeated = rows[~first_of_pairs(events.take(rows))]
    if len(repeated) == 0:
        return events, 0
    keep = np.ones(len(events), bool)
    keep[repeated] = False
    return events.take(keep), len(repeated)


def drop_implied(events: Interactions, within: int) -> tuple[Interactions, int]:
    """Without the events of other behaviours that the target with the same item followed; and how many they were.

    within: seconds from the event to the target, the same second included. So little of the future is looked at: that
    long after an event, a live system knows whether it is kept.
    """
    assert events.behaviors is not None
    assert events.timestamps is not None
    pairs = events.user_ids.astype(np.int64) * len(events.items) + events.item_ids
    target = events.behaviors == len(events.behavior_names) - 1
    # By pair and time, the target last at equal times; then the next target behind each event, -1 behind the last.
    order = np.lexsort((target, events.timestamps, pairs))
    places = np.where(target[order], np.arange(len(order)), len(order))
    following = np.minimum.accumulate(places[::-1])[::-1]
    next_target = np.append(order, -1)[following]
    implied = np.zeros(len(order), bool)
    gap = events.timestamps[next_target] - events.timestamps[order]
    implied[order] = (next_target >= 0) & (pairs[next_target] == pairs[order]) & (gap <= within) & ~target[order]
    return (events.take(~implied) if implied.any() else events), int(implied.sum())


def divide(events: Interactions) -> tuple[Interactions, Interactions | None]:
    """Events of the target behaviour, and those of the others without ratings and texts (None where it is alone).

    Raises UserError where no event of the target behaviour is left.
    """
    assert events.behaviors is not None
    names = events.behavior_names
    target = events.behaviors == len(names) - 1
    if not target.any():
        raise UserError(f"data.behaviors: no event of {names[-1]}, the target, is left; allowed: what keeps some")
    if len(names) == 1:
        return events, None
    others = dataclasses.replace(events, ratings=None, reviews=None, parts=None).take(~target)
    return events.take(target), others


def behavior_sentences(provenance: dict[str, Any]) -> list[str]:
    """What was left out and joined according to the record of a data set, in plain words; nothing where nothing was."""
    record = provenance.get("behaviors", {})
    lines = [
        f"{size:,} events of {name} were left out: no behaviour names it."
        for name, size in record.get("left_out", {}).items()
    ]
    for name, size in record.get("repeats_of_joined", {}).items():
        joined = " and ".join(record["named"][name])
        if size:
            lines.append(f"{size:,} events of {joined} followed one of the same user and item; {name} is the first.")
    if record.get("implied"):
        lines.append(f"{record['implied']:,} events were left out: the target with the same item followed them.")
    return lines


def behavior_statistics(events: Interactions) -> dict[str, Any]:
    """Users, items and events over all behaviours, and of each: events, users, items, mean and least of a user. JSON.

    The means and the least are over all users of the events, also those who have none of the behaviour.
    """
    assert events.behaviors is not None
    num_users = len(events.users)
    sizes = np.bincount(events.user_ids, minlength=num_users)
    statistics: dict[str, Any] = {
        "users": num_users,
        "items": len(events.items),
        "events": len(events),
        "mean_per_user": len(events) / num_users,
        "least_per_user": int(sizes.min()),
        "most_per_user": int(sizes.max()),
        "behaviors": {},
    }
    for place, name in enumerate(events.behavior_names):
        rows = events.behaviors == place
        users = np.bincount(events.user_ids[rows], minlength=num_users)
        items = np.bincount(events.item_ids[rows], minlength=len(events.items))
        statistics["behaviors"][name] = {
            "events": int(np.count_nonzero(rows)),
            "users": int(np.count_nonzero(users)),
            "items": int(np.count_nonzero(items)),
            "mean_per_user": int(users.sum()) / num_users,
            "least_per_user": int(users.min()),
            "most_per_user": int(users.max()),
        }
    return statistics
