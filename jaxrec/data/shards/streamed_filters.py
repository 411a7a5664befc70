"""The filters of the data, applied to rows that never are in memory all at once; each step counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrec.data.config import FilterConfig
from jaxrec.data.filters import first_of_pairs, nothing_left, row_filters
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.shards.buckets import Buckets, Rows
from jaxrec.data.shards.ids import RawRows


class Present:
    """Counts rows, and marks the users and items that have one."""

    def __init__(self, num_users: int, num_items: int) -> None:
        self.rows = 0
        self.users = np.zeros(num_users, bool)
        self.items = np.zeros(num_items, bool)

    def add(self, user_ids: np.ndarray, item_ids: np.ndarray) -> None:
        """Count these rows."""
        self.rows += len(user_ids)
        self.users[user_ids] = True
        self.items[item_ids] = True

    def counts(self) -> dict[str, int]:
        """As jaxrec.data.filters.counts gives them."""
        return {
            "interactions": self.rows,
            "users": int(np.count_nonzero(self.users)),
            "items": int(np.count_nonzero(self.items)),
        }


@dataclasses.dataclass
class Filtered:
    """Rows in buckets; who is present among them; what was read, and a record of each filter (jaxrec.data.filters)."""

    buckets: Buckets
    users: IdMap
    items: IdMap
    present: Present
    read: dict[str, int]
    steps: list[dict[str, Any]]

    def interactions(self, bucket: int) -> Interactions:
        """A bucket's rows, users counted from its first one."""
        first, end = self.buckets.starts[bucket : bucket + 2]
        rows = self.buckets.read(bucket)
        return Interactions(
            user_ids=rows.user_ids - np.int32(first),
            item_ids=rows.item_ids,
            users=IdMap(self.users.raw[first:end]),
            items=self.items,
            timestamps=rows.times,
        )

    def new_present(self) -> Present:
        """A count from zero."""
        return Present(len(self.users), len(self.items))

    def step(self, name: str, setting: Any, keep: Callable[[int], np.ndarray]) -> None:
        """Keep the rows ([n] bool) of each bucket that `keep` says. Raises UserError where none is left."""
        before, self.present = self.present.counts(), self.new_present()
        for bucket in range(len(self.buckets)):
            rows, kept = self.buckets.read(bucket), keep(bucket)
            if not kept.all():
                rows = rows.take(kept)
                self.buckets.replace(bucket, rows)
            self.present.add(rows.user_ids, rows.item_ids)
        if not self.present.rows:
            raise nothing_left(name, setting, before["interactions"])
        self.steps.append({"step": name, "setting": setting, "before": before, "after": self.present.counts()})


def filter_rows(raw: RawRows, config: FilterConfig, buckets: Buckets) -> Filtered:
    """The rows that the filters keep, in the given buckets, which are empty.

    The same rows, and the same record, as of jaxrec.data.filters.apply_filters. Raises UserError as it does.
    """
    filters = row_filters(config)
    passed = [Present(len(raw.users), len(raw.items)) for _ in range(len(filters) + 1)]
    for interactions in raw.interactions():
        passed[0].add(interactions.user_ids, interactions.item_ids)
        for (_, _, keep), after in zip(filters, passed[1:], strict=True):
            interactions = interactions.take(keep(interactions))
            after.add(interactions.user_ids, interactions.item_ids)
        buckets.append(Rows(interactions.user_ids, interactions.item_ids, interactions.timestamps))
    steps = []
    for (name, setting, _), before, after in zip(filters, passed[:-1], passed[1:], strict=True):
        if not after.rows:
            raise nothing_left(name, setting, before.rows)
        steps.append({"step": name, "setting": setting, "before": before.counts(), "after": after.counts()})
    found = Filtered(buckets, raw.users, raw.items, passed[-1], passed[0].counts(), steps)
    last = config.duplicates == "last"
    found.step("duplicates", config.duplicates, lambda bucket: first_of_pairs(found.interactions(bucket), last=last))
    if config.user_core > 0:
        cores = {"user_core": config.user_core, "item_core": config.item_core}
        found.step("user_core", cores, _core(found, config.user_core, config.item_core))
    elif config.item_core > 0:
        found.step("item_core", config.item_core, _core(found, 0, config.item_core))
    if config.min_events > 0:
        found.step("min_events", config.min_events, lambda bucket: _busy(found.buckets.read(bucket), config.min_events))
    return found


def _busy(rows: Rows, least: int) -> np.ndarray:
    """Rows of users with at least so many; all rows of a user are in one bucket."""
    _, user, count = np.unique(rows.user_ids, return_inverse=True, return_counts=True)
    return count[user] >= least


def _core(found: Filtered, user_core: int, item_core: int) -> Callable[[int], np.ndarray]:
    """Which rows of a bucket lie in the core: its users and items are found by dropping those with too few in turn.

    A row is left as long as its user and its item are, so that two masks say which are left: no row is kept in memory.
    """
    users, items = np.ones(len(found.users), bool), np.ones(len(found.items), bool)

    def kept(rows: Rows) -> np.ndarray:
        return users[rows.user_ids] & items[rows.item_ids]

    while True:
        num_users, num_items = np.zeros(len(users), np.int64), np.zeros(len(items), np.int64)
        for rows in found.buckets:
            rows = rows.take(kept(rows))
            first, end = int(rows.user_ids.min(initial=0)), int(rows.user_ids.max(initial=-1)) + 1
            if end:
                num_users[first:end] += np.bincount(rows.user_ids - first, minlength=end - first)
            num_items += np.bincount(rows.item_ids, minlength=len(items))
        few_users, few_items = (num_users > 0) & (num_users < user_core), (num_items > 0) & (num_items < item_core)
        if not few_users.any() and not few_items.any():
            return lambda bucket: kept(found.buckets.read(bucket))
        users &= ~few_users
        items &= ~few_items
