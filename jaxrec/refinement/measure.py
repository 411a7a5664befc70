"""Metrics of lists before and after a simulated user, what chance would do with the same lists, and paired tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.eval.metrics import BEYOND, all_metrics, discounts, ideal_gain
from jaxrec.eval.significance import paired_t_test, wilcoxon_test
from jaxrec.refinement.lists import Lists

METRICS = ("hit", "ndcg", "recall")


def ranks_in_lists(lists: Lists, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the test targets that the lists hold, as jaxrec.eval.metrics reads them, and each user's targets.

    ([n, C] int64, ascending, BEYOND behind the last; [n] int64.)
    """
    indptr, items = positives_csr(dataset.test, dataset.num_users)
    owners = np.repeat(np.arange(dataset.num_users, dtype=np.int64), np.diff(indptr))
    targets = owners * dataset.num_items + items
    keys = lists.user_ids.astype(np.int64)[:, None] * dataset.num_items + lists.item_ids
    found = np.isin(keys, targets) & (lists.item_ids >= 0)
    places = np.arange(1, lists.item_ids.shape[1] + 1, dtype=np.int64)[None, :]
    return np.sort(np.where(found, places, BEYOND), axis=1), np.diff(indptr)[lists.user_ids]


def values_of_lists(lists: Lists, dataset: Dataset, cutoffs: tuple[int, ...]) -> dict[str, np.ndarray]:
    """`<metric>@<k>` -> [n] float64, one value a user; to the last bit the same for lists that begin alike."""
    # Sums over longer rows are rounded otherwise, and what no cut-off reaches adds nothing.
    reached = Lists(lists.user_ids, lists.item_ids[:, : max(cutoffs)])
    ranks, num_targets = ranks_in_lists(reached, dataset)
    values = all_metrics(ranks, num_targets, cutoffs)
    return {f"{name}@{k}": values[f"{name}@{k}"] for k in cutoffs for name in METRICS}


def expected_of_any_order(lists: Lists, dataset: Dataset, cutoffs: tuple[int, ...]) -> dict[str, float]:
    """The mean of every metric if each user's list were put into a uniformly random order; nothing is drawn.

    Of C candidates t are targets: E[recall@k] = t min(k, C) / (C T), E[ndcg@k] the same share of all discounts, and
    P[hit@k] = 1 - prod_{r < k} (C - t - r) / (C - r).
    """
    ranks, num_targets = ranks_in_lists(lists, dataset)
    held = (ranks < BEYOND).sum(axis=1).astype(np.float64)
    sizes = (lists.item_ids >= 0).sum(axis=1).astype(np.float64)
    density = held / np.maximum(sizes, 1.0)
    expected: dict[str, float] = {}
    for k in cutoffs:
        rank = np.arange(k, dtype=np.float64)[None, :]
        real = rank < sizes[:, None]
        left = np.maximum(sizes[:, None] - rank, 1.0)
        none = np.where(real, np.maximum(left - held[:, None], 0.0) / left, 1.0).prod(axis=1)
        gain = (discounts(k)[None, :] * real).sum(axis=1)
        expected[f"hit@{k}"] = float(np.mean(1.0 - none))
        expected[f"ndcg@{k}"] = float(np.mean(density * gain / ideal_gain(num_targets, k)))
        expected[f"recall@{k}"] = float(np.mean(density * real.sum(axis=1) / num_targets))
    return expected


def paired_tests(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """For every metric the mean difference (after - before), how many users moved, and p-values of paired tests."""
    tests = {}
    for name, values in after.items():
        difference = values - before[name]
        tests[name] = {
            "difference": float(np.mean(difference)),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
            "t_test": paired_t_test(values, before[name]),
            "wilcoxon": wilcoxon_test(values, before[name]),
        }
    return tests
