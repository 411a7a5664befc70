"""Which interactions are kept: behaviour, rating, time, duplicates, k-core; each step counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrec.data.config import FilterConfig
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.errors import UserError


def apply_filters(
    interactions: Interactions, config: FilterConfig, by_behavior: bool = False
) -> tuple[Interactions, list[dict[str, Any]]]:
    """Keep what the config asks for, in the order of its fields, and leave out ids that nothing refers to any more.

    by_behavior: duplicates are those within one behaviour. Rows keep their order. One record a step that was asked
    for: {"step", "setting", "before", "after"}, where before and after count interactions, users and items. Raises
    UserError where a field needs a column that the source lacks, names an unknown behaviour, or leaves nothing.
    """
    check_filter(config)
    if len(interactions) == 0:
        raise UserError("data: the source holds no interactions")
    steps: list[dict[str, Any]] = []

    def step(name: str, setting: Any, keep: Callable[[Interactions], np.ndarray]) -> None:
        nonlocal interactions
        before = counts(interactions)
        rows = keep(interactions)
        if not rows.any():
            raise nothing_left(name, setting, before["interactions"])
        if not rows.all():
            interactions = interactions.take(rows)
        steps.append({"step": name, "setting": setting, "before": before, "after": counts(interactions)})

    for name, setting, keep in row_filters(config):
        step(name, setting, keep)
    if config.duplicates != "keep":
        step("duplicates", config.duplicates, lambda rows: _without_repeats(rows, config, by_behavior))
    if config.user_core > 0:
        cores = {"user_core": config.user_core, "item_core": config.item_core}
        step("user_core", cores, lambda rows: core_rows(rows, config.user_core, config.item_core))
    elif config.item_core > 0:
        step("item_core", config.item_core, lambda rows: core_rows(rows, 0, config.item_core))
    if config.min_events > 0:
        # Once and not to a fixed point: items that become rare stay.
        step(
            "min_events", config.min_events, lambda rows: np.bincount(rows.user_ids)[rows.user_ids] >= config.min_events
        )
    return compact(interactions), steps


def row_filters(config: FilterConfig) -> list[tuple[str, Any, Callable[[Interactions], np.ndarray]]]:
    """The filters that look at a row alone, in their order: name, setting, and which rows are kept, [n] bool."""
    found: list[tuple[str, Any, Callable[[Interactions], np.ndarray]]] = []
    if config.behavior is not None:
        found.append(("behavior", config.behavior, lambda rows: _behavior_rows(rows, str(config.behavior))))
    if config.min_rating is not None:
        found.append(("min_rating", config.min_rating, lambda rows: _ratings(rows) >= np.float32(config.min_rating)))
    if config.start_time is not None:
        found.append(("start_time", config.start_time, lambda rows: _times(rows, "start_time") >= config.start_time))
    if config.end_time is not None:
        found.append(("end_time", config.end_time, lambda rows: _times(rows, "end_time") < config.end_time))
    return found


def nothing_left(name: str, setting: Any, before: int) -> UserError:
    """A filter that leaves none of so many interactions."""
    asked = setting if isinstance(setting, dict) else {name: setting}
    words = ", ".join(f"data.filter.{field} = {value}" for field, value in asked.items())
    return UserError(f"{words}: none of {before} interactions is left; allowed: what keeps some")


def check_filter(config: FilterConfig) -> None:
    """Raise UserError for values that no source could satisfy."""
    for name in ("user_core", "item_core", "min_events"):
        if getattr(config, name) < 0:
            raise UserError(f"data.filter.{name}: found {getattr(config, name)}, allowed: 0 or more")
    if config.min_rating is not None and not np.isfinite(config.min_rating):
        raise UserError(f"data.filter.min_rating: found {config.min_rating}, allowed: a finite number")
    if config.start_time is not None and config.end_time is not None and config.start_time >= config.end_time:
        raise UserError(
            f"data.filter.end_time: found {config.end_time}, allowed: later than start_time = {config.start_time}"
        )


def counts(interactions: Interactions) -> dict[str, int]:
    """Number of interactions, and of the users and items that have one."""
    return {
        "interactions": len(interactions),
        "users": int(np.count_nonzero(np.bincount(interactions.user_ids, minlength=1))),
        "items": int(np.count_nonzero(np.bincount(interactions.item_ids, minlength=1))),
    }


def pair_keys(interactions: Interactions) -> np.ndarray:
    """One number a (user, item) pair: [n] int64."""
    return interactions.user_ids.astype(np.int64) * max(len(interactions.items), 1) + interactions.item_ids


def distinct(keys: np.ndarray) -> np.ndarray:
    """The distinct keys [n] int64 of 0 and more, ascending; many times faster than the hash table of np.unique."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) != 0]


def _without_repeats(rows: Interactions, config: FilterConfig, by_behavior: bool) -> np.ndarray:
    return first_of_pairs(rows, last=config.duplicates == "last", by_behavior=by_behavior)


def first_of_pairs(interactions: Interactions, last: bool = False, by_behavior: bool = False) -> np.ndarray:
    """Mask [n] bool of the earliest (or latest) interaction of each user with each item, or of each by each behaviour.

    By time where there are timestamps, then by order of source. Parts that the source gives are kept apart: a pair
    in two of them is leakage, which is reported and not mended.
    """
    keys = pair_keys(interactions)
    num_pairs = len(interactions.users) * max(len(interactions.items), 1)
    groups = np.zeros(1, np.int64)
    if interactions.parts is not None:
        groups = interactions.parts.astype(np.int64)
    if by_behavior and interactions.behaviors is not None:
        groups = groups * len(interactions.behavior_names) + interactions.behaviors
    keys += groups * num_pairs
    keep = np.ones(len(keys), bool)
    ascending = np.sort(keys)
    repeated = np.unique(ascending[1:][ascending[1:] == ascending[:-1]])
    if len(repeated) == 0:
        return keep
    # Only rows of repeated pairs are ordered; most sources have few of them.
    place = np.minimum(np.searchsorted(repeated, keys), len(repeated) - 1)
    rows = np.flatnonzero(repeated[place] == keys)
    if interactions.timestamps is None:
        order = rows[np.argsort(keys[rows], kind="stable")]
    else:
        order = rows[np.lexsort((interactions.timestamps[rows], keys[rows]))]
    ordered = keys[order]
    boundary = np.ones(len(order), bool)
    if last:
        boundary[:-1] = ordered[1:] != ordered[:-1]
    else:
        boundary[1:] = ordered[1:] != ordered[:-1]
    keep[order[~boundary]] = False
    return keep


def core_rows(interactions: Interactions, user_core: int, item_core: int) -> np.ndarray:
    """Mask [n] bool of the largest set of rows in which every user and item has at least so many rows.

    Users and items with too few are dropped in turn until none is left; the fixed point does not depend on the
    order.
    """
    rows = np.arange(len(interactions))
    users, items = interactions.user_ids, interactions.item_ids
    while len(rows):
        enough_users = np.bincount(users, minlength=len(interactions.users)) >= user_core
        enough_items = np.bincount(items, minlength=len(interactions.items)) >= item_core
        keep = enough_users[users] & enough_items[items]
        if keep.all():
            break
        rows, users, items = rows[keep], users[keep], items[keep]
    mask = np.zeros(len(interactions), bool)
    mask[rows] = True
    return mask


def _events_of_user(rows: Interactions) -> np.ndarray:
    """How many rows the user of each row has: [n]."""
    return np.bincount(rows.user_ids)[rows.user_ids]


def compact(interactions: Interactions) -> Interactions:
    """Drop users and items without interactions from the id maps; those that stay keep their order."""
    user_ids, users = _compact_ids(interactions.user_ids, interactions.users)
    item_ids, items = _compact_ids(interactions.item_ids, interactions.items)
    return dataclasses.replace(interactions, user_ids=user_ids, item_ids=item_ids, users=users, items=items)


def _compact_ids(ids: np.ndarray, id_map: IdMap) -> tuple[np.ndarray, IdMap]:
    present = np.bincount(ids, minlength=len(id_map)) > 0
    if present.all():
        return ids, id_map
    new_ids = np.cumsum(present, dtype=np.int32) - np.int32(1)
    raw = id_map.raw[present]
    longest = int(np.char.str_len(raw).max(initial=1))
    return new_ids[ids], IdMap(raw.astype(f"<U{max(longest, 1)}"))


def _behavior_rows(interactions: Interactions, behavior: str) -> np.ndarray:
    names = interactions.behavior_names
    if behavior not in names:
        found = f"the source has {', '.join(names)}" if names else "the source has no behaviours"
        raise UserError(f"data.filter.behavior: found {behavior}, {found}")
    if interactions.behaviors is None:
        return np.ones(len(interactions), bool)
    return interactions.behaviors == names.index(behavior)


def _ratings(interactions: Interactions) -> np.ndarray:
    if interactions.ratings is None:
        raise UserError("data.filter.min_rating: the source has no ratings (data.columns.rating names their column)")
    return interactions.ratings


def _times(interactions: Interactions, field: str) -> np.ndarray:
    if interactions.timestamps is None:
        raise UserError(f"data.filter.{field}: the source has no times (data.columns.timestamp names their column)")
    return interactions.timestamps
