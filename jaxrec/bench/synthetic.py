"""A synthetic interaction graph of Gowalla's size and skew: what the LightGCN workloads run on."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from jaxrec.bench.roofline import Work


@dataclasses.dataclass(frozen=True)
class LightGCNWorkload:
    """LightGCN by BPR as its authors train it on Gowalla: 3 layers, D = 64, batches of 2048, L2 1e-4, Adam 1e-3."""

    num_users: int = 29_858
    num_items: int = 40_981
    num_pairs: int = 810_000
    dim: int = 64
    num_layers: int = 3
    batch_size: int = 2048
    l2: float = 1e-4
    learning_rate: float = 1e-3

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold every pair once."""
        return -(-self.num_pairs // self.batch_size)

    @property
    def step_work(self) -> Work:
        """The least of a step: every layer forward and backward but the last and the first back, which need few rows.

        A layer moves both lists of neighbours and reads and writes the table; Adam reads four tables and writes three.
        """
        layers, entries = 2 * (self.num_layers - 1), (self.num_users + self.num_items) * self.dim
        operations = layers * 4.0 * self.num_pairs * self.dim + 12.0 * entries
        moved = layers * (8.0 * self.num_pairs + 8.0 * entries) + 28.0 * entries
        return Work(operations, moved)


WORKLOADS = {
    "full": LightGCNWorkload(),
    "small": LightGCNWorkload(num_users=300, num_items=400, num_pairs=6_000, dim=16, batch_size=64),
}


def lightgcn_workload(scale: Literal["small", "full"]) -> LightGCNWorkload:
    """The sizes of the LightGCN workloads."""
    return WORKLOADS[scale]


def interaction_pairs(workload: LightGCNWorkload, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs (user_ids, item_ids), [num_pairs] int32 each, by user and item.

    User activity is log-normal, item popularity a power law of exponent 0.72; every node has a pair.
    """
    num_users, num_items = workload.num_users, workload.num_items
    rng = np.random.default_rng(seed)
    activity = np.clip(np.exp(rng.normal(2.85, 0.85, num_users)), 6, 811)
    popularity = (np.arange(num_items) + 20.0) ** -0.72
    rng.shuffle(popularity)
    activity, popularity = activity / activity.sum(), popularity / popularity.sum()

    def keys_of(users: np.ndarray, items: np.ndarray) -> np.ndarray:
        return users.astype(np.int64) * num_items + items

    of_users = keys_of(np.arange(num_users), rng.choice(num_items, num_users, p=popularity))
    of_items = keys_of(rng.choice(num_users, num_items, p=activity), np.arange(num_items))
    each_node = np.unique(np.concatenate([of_users, of_items]))
    more = np.empty(0, np.int64)
    while len(each_node) + len(more) < workload.num_pairs:
        count = int((workload.num_pairs - len(each_node) - len(more)) * 1.2) + 100
        drawn = keys_of(rng.choice(num_users, count, p=activity), rng.choice(num_items, count, p=popularity))
        more = np.setdiff1d(np.concatenate([more, drawn]), each_node)
    more = rng.permutation(more)[: workload.num_pairs - len(each_node)]
    users, items = np.divmod(np.sort(np.concatenate([each_node, more])), num_items)
    return users.astype(np.int32), items.astype(np.int32)


def first_embeddings(workload: LightGCNWorkload, seed: int = 0) -> np.ndarray:
    """[N, D] float32, normal with deviation 0.1."""
    shape = (workload.num_users + workload.num_items, workload.dim)
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def triple_batches(
    workload: LightGCNWorkload, user_ids: np.ndarray, item_ids: np.ndarray, count: int, seed: int = 1
) -> np.ndarray:
    """[count, 3, B] int32: user, item and an item drawn from the whole catalogue, the same for every peer."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(user_ids), (count, workload.batch_size))
    negatives = rng.integers(0, workload.num_items, chosen.shape)
    return np.stack([user_ids[chosen], item_ids[chosen], negatives], axis=1).astype(np.int32)
