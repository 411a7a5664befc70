"""Data sets of which each user's last two items are held out, and pools for them."""

import dataclasses

import numpy as np

from jaxrec.eval.pools import Pools
from tests.eval.given import build_dataset


def left_out_dataset(rng, num_users=40, num_items=60, history=4):
    """Every user has `history` training items, one validation and one test item, all different."""
    chosen = np.stack([rng.permutation(num_items)[: history + 2] for _ in range(num_users)])
    train = [(user, int(item)) for user in range(num_users) for item in chosen[user, :history]]
    valid, test = ([(user, int(chosen[user, history + k])) for user in range(num_users)] for k in (0, 1))
    dataset = build_dataset(num_users, num_items, (train, valid, test))
    return dataclasses.replace(dataset, provenance={})


def had(dataset, user):
    """Training items of a user, and the two that are held out."""
    train = set(dataset.train.item_ids[dataset.train.user_ids == user].tolist())
    return train, int(dataset.valid.item_ids[user]), int(dataset.test.item_ids[user])


def random_pools(rng, dataset, size, found=0.5, shortest=None):
    """Unseen items at random; the target is among them for about a share `found` of the users.

    shortest: some pools have only so many items, -1 behind them.
    """
    items = np.full((dataset.num_users, size), -1, np.int32)
    for user in range(dataset.num_users):
        train, first, last = had(dataset, user)
        others = rng.permutation([i for i in range(dataset.num_items) if i not in train | {first, last}])
        length = size if shortest is None else int(rng.integers(shortest, size + 1))
        items[user, :length] = others[:length]
        if rng.random() < found:
            items[user, rng.integers(length)] = last
    last = dataset.test.item_ids.astype(np.int32)
    none = np.zeros(dataset.num_users, bool)
    scores = np.where(items >= 0, -np.arange(size, dtype=np.float32), np.nan).astype(np.float32)
    users = np.arange(dataset.num_users, dtype=np.int32)
    return Pools(users, last, items, scores, none, none, users % 2 == 1)
