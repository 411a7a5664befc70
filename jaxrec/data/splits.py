"""How interactions become train, valid and test: every interaction goes to exactly one part.

The ratio split gives a user with n interactions n * share of each, rounded by largest remainder, so that each part is
within one of its exact share. Ties go to train first; between valid and test a coin falls for each user, so that over
many small users neither part is short. A user whose train part would be empty gets one back from the part that was
rounded up furthest, so that everybody has something to learn from.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxrec.data.chronology import grouped_by_user
from jaxrec.data.config import DataConfig
from jaxrec.data.filters import counts, first_of_pairs
from jaxrec.data.interactions import Interactions
from jaxrec.data.stable_hash import pair_hashes, user_hashes
from jaxrec.errors import UserError

PARTS = ("train", "valid", "test")


def split(interactions: Interactions, config: DataConfig) -> tuple[Interactions, Interactions, Interactions]:
    """Divide the interactions into (train, valid, test) over the same id maps; rows keep their order.

    Raises UserError where the rule and the source do not fit each other or a part comes out empty.
    """
    train, valid, test, _ = split_with_record(interactions, config)
    return train, valid, test


def split_with_record(
    interactions: Interactions, config: DataConfig, chronological: bool = False
) -> tuple[Interactions, Interactions, Interactions, dict[str, Any]]:
    """As `split`, with a JSON record of rule, order and counts.

    chronological: the order of the source is the order in time, so that temporal order needs no timestamps.
    """
    check_split(config)
    if config.pool:
        interactions = pool(interactions, config)
    parts, record = assign_parts(interactions, config, chronological)
    train, valid, test = (
        dataclasses.replace(interactions.take(parts == index), parts=None) for index in range(len(PARTS))
    )
    record["parts"] = {name: counts(part) for name, part in zip(PARTS, (train, valid, test), strict=True)}
    for name in PARTS:
        if record["parts"][name]["interactions"] == 0:
            raise UserError(why_empty(name, config, record["parts"]))
    return train, valid, test, record


def assign_parts(
    interactions: Interactions, config: DataConfig, chronological: bool = False
) -> tuple[np.ndarray, dict[str, Any]]:
    """The part of each row ([n] int8: 0 train, 1 valid, 2 test) and a JSON record of the rule; parts may be empty."""
    divided = interactions.parts is not None
    if divided and config.split != "given":
        raise UserError(
            f"data.split: found {config.split}, but the source comes divided; allowed: --data.split given, or "
            "--data.pool, which joins its parts and splits anew"
        )
    if not divided and config.split == "given":
        raise UserError(
            "data.split: found given, but the source comes undivided; allowed: ratio, leave_one_out, global_temporal"
        )
    record: dict[str, Any] = {"rule": config.split}
    if interactions.parts is not None:
        return interactions.parts, record
    if config.split == "ratio":
        record |= {"ratio": list(config.ratio), "order": config.order}
        if config.order == "random":
            record["split_seed"] = config.split_seed
        return _ratio_parts(interactions, config, chronological), record
    if config.split == "leave_one_out":
        record["order"] = "source" if interactions.timestamps is None else "temporal"
        record["users_whole_in_train"] = int(np.count_nonzero(_short_users(interactions, config)))
        return _leave_one_out_parts(interactions, config), record
    parts, cuts = _global_temporal_parts(interactions, config.ratio)
    return parts, record | {"ratio": list(config.ratio), "cut_times": cuts}


def check_split(config: DataConfig) -> None:
    """Raise UserError for settings that no source could satisfy."""
    shares = np.asarray(config.ratio, np.float64)
    if shares.shape != (3,) or not np.isfinite(shares).all() or (shares <= 0).any():
        raise UserError(f"data.ratio: found {config.ratio}, allowed: three numbers above 0 (train, valid, test)")
    if config.leave_one_out_from < 1:
        raise UserError(f"data.leave_one_out_from: found {config.leave_one_out_from}, allowed: 1 or more")
    if config.pool and config.split == "given":
        raise UserError(
            "data.split: found given with data.pool, which splits anew; allowed: ratio, leave_one_out, global_temporal"
        )


def pool(interactions: Interactions, config: DataConfig, by_behavior: bool = False) -> Interactions:
    """Join the parts of a divided source into one, without the pairs that stood in several; else unchanged.

    by_behavior: pairs are those within one behaviour.
    """
    if interactions.parts is None:
        return interactions
    joined = dataclasses.replace(interactions, parts=None)
    if config.filter.duplicates == "keep":
        return joined
    return joined.take(first_of_pairs(joined, config.filter.duplicates == "last", by_behavior))


def ratio_counts(sizes: np.ndarray, ratio: tuple[float, float, float], coins: np.ndarray) -> np.ndarray:
    """How many of each user's interactions go to train, valid and test: [U, 3] int64, rows sum to sizes [U].

    coins: [U] bool, who rounds test up before valid where both have the same claim.
    """
    share = np.asarray(ratio, np.float64) / np.sum(ratio)
    # Few sizes occur, so the tables are made once a size. Rounding to 9 digits hides the noise of 0.1 + 0.2.
    distinct, place = np.unique(sizes, return_inverse=True)
    exact = np.round(distinct[:, None] * share, 9)
    tables = np.stack([_rounded(exact, distinct, priority) for priority in ((0, 1, 2), (0, 2, 1))])
    return tables[coins.astype(np.int8), place]


def _rounded(exact: np.ndarray, totals: np.ndarray, priority: tuple[int, int, int]) -> np.ndarray:
    """Whole numbers [n, 3] int64 next to `exact` [n, 3] that sum to totals [n]; a lower priority rounds up first."""
    table = np.floor(exact).astype(np.int64)
    left = totals - table.sum(axis=1)
    order = np.stack([np.lexsort((priority, -row)) for row in np.round(exact - table, 9)])
    np.put_along_axis(table, order, np.take_along_axis(table, order, 1) + (np.arange(3) < left[:, None]), 1)
    starved = np.flatnonzero((table[:, 0] == 0) & (totals > 0))
    donor = 1 + np.argmax((table - exact)[starved, 1:], axis=1)
    table[starved, donor] -= 1
    table[starved, 0] = 1
    return table


def _ratio_parts(interactions: Interactions, config: DataConfig, chronological: bool) -> np.ndarray:
    users = interactions.user_ids
    if config.order == "random":
        order = _random_order(interactions, config.split_seed)
    elif interactions.timestamps is not None:
        order = _grouped(np.argsort(interactions.timestamps, kind="stable"), interactions)
    elif chronological:
        order = np.argsort(users, kind="stable")
    else:
        raise UserError(
            "data.order: found temporal, but the source has no times (data.columns.timestamp names their column); "
            "allowed: random"
        )
    sizes = np.bincount(users, minlength=len(interactions.users))
    rank = _rank_in_user(users[order], sizes)
    table = ratio_counts(sizes, config.ratio, user_hashes(interactions, config.split_seed) % 2 == 1)
    valid_from = table[:, 0][users[order]]
    test_from = valid_from + table[:, 1][users[order]]
    parts = np.empty(len(users), np.int8)
    parts[order] = (rank >= valid_from).astype(np.int8) + (rank >= test_from)
    return parts


def _leave_one_out_parts(interactions: Interactions, config: DataConfig) -> np.ndarray:
    """The last interaction is test, the one before valid; users with too few stay in train whole."""
    users = interactions.user_ids
    if interactions.timestamps is None:
        order = np.argsort(users, kind="stable")
    else:
        order = _grouped(np.argsort(interactions.timestamps, kind="stable"), interactions)
    sizes = np.bincount(users, minlength=len(interactions.users))
    from_end = sizes[users[order]] - 1 - _rank_in_user(users[order], sizes)
    parts = np.empty(len(users), np.int8)
    parts[order] = np.where(from_end < 2, 2 - from_end, 0).astype(np.int8)
    parts[_short_users(interactions, config)[users]] = 0
    return parts


def _short_users(interactions: Interactions, config: DataConfig) -> np.ndarray:
    """Mask [U] bool of users with an interaction and too few to leave one out."""
    sizes = np.bincount(interactions.user_ids, minlength=len(interactions.users))
    return (sizes > 0) & (sizes < config.leave_one_out_from)


def _global_temporal_parts(
    interactions: Interactions, ratio: tuple[float, float, float]
) -> tuple[np.ndarray, list[int]]:
    """Parts [n] int8, and the first times of valid and test. What happened at one time is never divided."""
    times = interactions.timestamps
    if times is None:
        raise UserError(
            "data.split: found global_temporal, but the source has no times (data.columns.timestamp names their "
            "column); allowed: ratio, leave_one_out"
        )
    ascending = np.sort(times)
    cuts = []
    for share in np.cumsum(ratio)[:2] / np.sum(ratio):
        place = round(len(times) * float(share))
        inside = ascending[min(place, len(times) - 1)]
        before, after = np.searchsorted(ascending, inside, "left"), np.searchsorted(ascending, inside, "right")
        # The border of times nearest to the quantile; past the end there is no time, hence + 1.
        near = before if place - before <= after - place else after
        cuts.append(int(ascending[near]) if near < len(times) else int(ascending[-1]) + 1)
    return np.searchsorted(np.asarray(cuts), times, "right").astype(np.int8), cuts


def _rank_in_user(sorted_users: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Position of each row among the rows of its user: [n] int64, for rows sorted by user."""
    starts = np.cumsum(sizes) - sizes
    return np.arange(len(sorted_users)) - starts[sorted_users]


def _random_order(interactions: Interactions, seed: int) -> np.ndarray:
    """Rows [n] by user, and within a user by random numbers of the pairs; rows of one pair by time, then source."""
    keys = pair_hashes(interactions, seed)
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    if interactions.timestamps is not None and (ascending[1:] == ascending[:-1]).any():
        order = np.lexsort((interactions.timestamps, keys))
    return _grouped(order, interactions)


def _grouped(order: np.ndarray, interactions: Interactions) -> np.ndarray:
    return grouped_by_user(order, interactions.user_ids, len(interactions.users))


def why_empty(name: str, config: DataConfig, sizes: dict[str, dict[str, int]]) -> str:
    """Why a part came out empty, and what is allowed. sizes: part -> counts."""
    if config.split == "given":
        found = ", ".join(part for part in PARTS if sizes[part]["interactions"])
        return (
            f"data.split: found given, but the source has no {name} part, only {found}; allowed: --data.pool "
            "--data.split ratio, which joins the parts and splits anew"
        )
    if config.split == "leave_one_out" and name == "train":
        return (
            f"data.leave_one_out_from: found {config.leave_one_out_from}, but no user has 3 interactions, so the train "
            "part would be empty; allowed: 3 or more, and data that have them"
        )
    if config.split == "leave_one_out":
        return (
            f"data.split: found leave_one_out, but no user has {config.leave_one_out_from} interactions, so the {name} "
            "part would be empty"
        )
    total = sum(size["interactions"] for size in sizes.values())
    return f"data.ratio: found {config.ratio}, which leaves the {name} part of {total} interactions empty"
