"""Training interactions that never happened: how much does a model suffer from them (LMMRec, Fig. 2)?

The pairs follow from the seed one after another, so those of 10 % are the first of those of 30 %. They depend on
neither the processor nor the version of NumPy.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.filters import distinct, pair_keys
from jaxrec.data.interactions import Interactions
from jaxrec.data.stable_hash import numbers
from jaxrec.errors import UserError


def check_noise(config: DataConfig) -> None:
    """Raise UserError for a share or a seed that no source could satisfy."""
    if not (np.isfinite(config.noise) and config.noise >= 0):
        raise UserError(f"data.noise: found {config.noise}, allowed: a share of 0 or more, such as 0.1")
    if not 0 <= config.noise_seed < 2**32:
        raise UserError(f"data.noise_seed: found {config.noise_seed}, allowed: 0 to 4294967295")


def add_noise(
    train: Interactions, valid: Interactions, test: Interactions, share: float, seed: int
) -> tuple[Interactions, int]:
    """The training part with round(share * rows) pairs behind it, and their number.

    The pairs are drawn uniformly over all users and items, each once, among those that stand in no part. Such a row
    has the time of its user's last training row (of the whole part's last where the user has none), and the rating
    and the behaviour of a training row drawn at random. Raises UserError where there are not so many free pairs.
    """
    number = round(share * len(train))
    taken = distinct(np.concatenate([pair_keys(part) for part in (train, valid, test)]))
    free = len(train.users) * len(train.items) - len(taken)
    if number > free:
        raise UserError(
            f"data.noise: found {share}, which asks for {number:,} pairs that stand in no part, but of "
            f"{len(train.users):,} users and {len(train.items):,} items only {free:,} are free"
        )
    if number == 0:
        return train, 0
    keys = _free_keys(number, taken, len(train.users) * len(train.items), seed)
    users, items = (part.astype(np.int32) for part in np.divmod(keys, len(train.items)))
    donors = (numbers(seed + 2**32, 0, number) % np.uint64(len(train))).astype(np.int64)

    def drawn(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else np.concatenate([column, column[donors]])

    times = train.timestamps
    if times is not None:
        last = np.full(len(train.users), np.iinfo(np.int64).min, np.int64)
        np.maximum.at(last, train.user_ids, times)
        last[last == np.iinfo(np.int64).min] = times.max()
        times = np.concatenate([times, last[users].astype(times.dtype)])
    noisy = dataclasses.replace(
        train,
        user_ids=np.concatenate([train.user_ids, users]),
        item_ids=np.concatenate([train.item_ids, items]),
        ratings=drawn(train.ratings),
        timestamps=times,
        behaviors=drawn(train.behaviors),
        # Nobody wrote about what never happened.
        reviews=None if train.reviews is None else np.concatenate([train.reviews, np.full(number, -1, np.int32)]),
    )
    return noisy, number


def noise_sentences(provenance: dict[str, Any]) -> list[str]:
    """What was added according to the record of a data set, in plain words; nothing where nothing was."""
    noise = provenance["noise"]
    if not noise["interactions"]:
        return []
    return [
        f"{noise['interactions']:,} training interactions that never happened were added ({noise['share']:.0%} of the "
        f"real ones, seed {noise['seed']})."
    ]


def _free_keys(number: int, taken: np.ndarray, num_pairs: int, seed: int) -> np.ndarray:
    """The first `number` different keys [number] int64 of the seed's stream that are not in `taken` (ascending)."""
    found = np.zeros(0, np.int64)
    start, size = 0, max(1024, 2 * number)
    while len(found) < number:
        keys = (numbers(seed, start, size) % np.uint64(num_pairs)).astype(np.int64)
        keys = keys[taken[np.minimum(np.searchsorted(taken, keys), len(taken) - 1)] != keys]
        together = np.concatenate([found, keys])
        order = np.argsort(together, kind="stable")
        first = np.ones(len(together), bool)
        first[order[1:]] = together[order[1:]] != together[order[:-1]]
        found = together[first]  # in the order of the stream
        start += size
    return found[:number]
