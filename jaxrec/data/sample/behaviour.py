"""What the users of the sample did: favors, clicks (some by accident), when, and how they rated."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.sample.taste import NUM_ITEMS, NUM_USERS, Taste

CLICK, FAVOR = 0, 1
START = 1_609_459_200  # 2021-01-01
DAY = 86_400
PHASES = 3

MIN_FAVORS, MAX_FAVORS = 8, 60
BROWSED_PER_FAVOR = 0.8
ACCIDENTS_PER_FAVOR = 0.4


@dataclasses.dataclass(frozen=True, eq=False)
class Events:
    """Rows in order of time: user_ids, item_ids int32; timestamps int64 s; behaviors int8; accidental bool.

    reasons: [n] int8, the motivation that the user followed at that moment. ratings: [n] float32, favors only,
    NaN elsewhere.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    timestamps: np.ndarray
    behaviors: np.ndarray
    accidental: np.ndarray
    reasons: np.ndarray
    ratings: np.ndarray


def draw_events(rng: np.random.Generator, taste: Taste) -> Events:
    """Draw what happened: each favor follows a click; other clicks are of interest or by accident."""
    affinity = taste.affinity()
    counts = np.clip(np.round(rng.lognormal(3.0, 0.45, NUM_USERS)), MIN_FAVORS, MAX_FAVORS).astype(np.int64)

    # Favors: without replacement, in proportion to exp(affinity + popularity) (Gumbel top-k).
    utility = affinity + taste.popularity + rng.gumbel(size=affinity.shape)
    favor_users, favor_items = _top(utility, counts)
    # Browsed: as interested, but not taken.
    interest = affinity + rng.gumbel(size=affinity.shape)
    interest[favor_users, favor_items] = -np.inf
    browse_users, browse_items = _top(interest, rng.binomial(2 * counts, BROWSED_PER_FAVOR / 2))
    # Accidents: any item, whatever the user likes.
    accident_users = np.repeat(np.arange(NUM_USERS), rng.binomial(counts, ACCIDENTS_PER_FAVOR))
    accident_items = rng.integers(0, NUM_ITEMS, len(accident_users))

    # A user follows one motivation for some days, then another: what comes next depends on what came last.
    spells = START + rng.uniform(0, 730 * DAY, (NUM_USERS, taste.user_motivations.shape[1], PHASES))
    favor_reasons = _reasons(rng, taste, favor_users, favor_items)
    favor_times = _times(rng, spells, favor_users, favor_reasons)
    browse_reasons = _reasons(rng, taste, browse_users, browse_items)
    browse_times = _times(rng, spells, browse_users, browse_reasons)
    # An accident happens while the user is busy with something else: minutes after one of the own favors.
    first_favor = np.cumsum(counts) - counts
    beside = first_favor[accident_users] + rng.integers(0, counts[accident_users])
    accident_times = favor_times[beside] + rng.integers(5, 600, len(beside))

    ratings = _ratings(rng, affinity, favor_users, favor_items)
    click_times = favor_times - rng.integers(10, 600, len(favor_times))
    users = np.concatenate([favor_users, favor_users, browse_users, accident_users])
    order_keys = np.concatenate([favor_times, click_times, browse_times, accident_times])
    order = np.argsort(order_keys, kind="stable")
    num_favors, num_browsed, num_accidents = len(favor_users), len(browse_users), len(accident_users)
    behaviors = np.full(len(users), CLICK, np.int8)
    behaviors[:num_favors] = FAVOR
    accidental = np.zeros(len(users), bool)
    accidental[len(users) - num_accidents :] = True
    nothing = np.full(num_favors + num_browsed + num_accidents, np.nan, np.float32)
    return Events(
        user_ids=users[order].astype(np.int32),
        item_ids=np.concatenate([favor_items, favor_items, browse_items, accident_items])[order].astype(np.int32),
        timestamps=order_keys[order],
        behaviors=behaviors[order],
        accidental=accidental[order],
        reasons=np.concatenate([favor_reasons, favor_reasons, browse_reasons, favor_reasons[beside]])[order],
        ratings=np.concatenate([ratings, nothing])[order],
    )


def _top(scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts[u] highest columns of each row u: parallel (rows, columns), rows ascending."""
    order = np.argsort(-scores, axis=1, kind="stable")
    taken = np.arange(scores.shape[1]) < counts[:, None]
    return np.repeat(np.arange(len(scores)), counts), order[taken]


def _reasons(rng: np.random.Generator, taste: Taste, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The motivation behind each event: one that user and item share, else one of the user's own. [n] int8."""
    own = taste.user_motivations[users].astype(np.float64)
    weights = own * (taste.item_motivations[items] + 1e-6)
    cumulative = np.cumsum(weights, axis=1)
    draws = rng.random(len(users)) * cumulative[:, -1]
    return (cumulative <= draws[:, None]).sum(axis=1).astype(np.int8)


def _times(rng: np.random.Generator, spells: np.ndarray, users: np.ndarray, reasons: np.ndarray) -> np.ndarray:
    """Seconds since 1970, shortly after the start of one of the user's spells of that motivation. [n] int64."""
    starts = spells[users, reasons, rng.integers(0, PHASES, len(users))]
    return (starts + rng.exponential(2 * DAY, len(users))).astype(np.int64)


def _ratings(rng: np.random.Generator, affinity: np.ndarray, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """1-5 stars [n] float32: what was taken for its popularity or by whim disappoints more often."""
    liked = affinity[users, items]
    standard = (liked - liked.mean()) / liked.std()
    return np.clip(np.round(3.9 + 0.9 * standard + rng.normal(0, 0.6, len(users))), 1, 5).astype(np.float32)
