"""Full ranking of a leave-one-out test part of Amazon Beauty's size: every user's rank, and every user's list."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import Evaluation, FullRanking
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig

DESCRIPTION = "full ranking of 22,363 users among 12,101 items against PyTorch's matmul, mask and top-k; same metrics"
COUNTED, LISTED = "jaxrec ranks", "jaxrec lists"
TORCH_VARIANTS = {"torch matmul, mask, top-k": "topk", "torch rank counting": "count"}
CUTOFFS = (10, 20)
TOLERANCE = 1e-6
KEYS = tuple(f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in CUTOFFS)


@dataclasses.dataclass(frozen=True)
class RankingWorkload:
    """Sizes of Amazon Beauty (5-core) with the list lengths of its users."""

    num_users: int = 22_363
    num_items: int = 12_101
    dim: int = 64

    @property
    def work(self) -> Work:
        """The least: every score once, of vectors that are read once."""
        return Work(
            2.0 * self.num_users * self.num_items * self.dim, 4.0 * (self.num_users + self.num_items) * self.dim
        )


WORKLOADS = {"full": RankingWorkload(), "small": RankingWorkload(num_users=300, num_items=500, dim=16)}


def run(settings: Settings) -> dict:
    """Seconds an evaluation, metrics included; the metrics and the lists of all variants compared."""
    workload = WORKLOADS[settings.scale]
    users, items, dataset = make_case(workload)
    model = BPRMF(BPRMFConfig(dim=workload.dim), workload.num_users, workload.num_items)
    params = {"users": {"embedding": jnp.asarray(users)}, "items": {"embedding": jnp.asarray(items)}}
    ranking = FullRanking(dataset, "test", EvalConfig(k=CUTOFFS, save_topk=max(CUTOFFS)))
    context = Context()
    metrics = {name: evaluate(ranking, model, params, context, name).metrics for name in (COUNTED, LISTED)}
    variants: dict[str, Callable[[], Any]] = {
        name: lambda name=name: evaluate(ranking, model, params, context, name) for name in (COUNTED, LISTED)
    }
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            save_case(folder / "workload.npz", users, items, ranking)
            peer = stack.enter_context(
                device_peer(settings.torch_python, "torch_ranking.py", str(folder / "workload.npz"))
            )
            for name, variant in TORCH_VARIANTS.items():
                metrics[name] = peer.ask(variant=variant)["metrics"]
                variants[name] = lambda variant=variant: peer.ask(variant=variant)["seconds"]
        times = interleave(variants, settings)
    checks = {"metrics_equal": all(_equal(found, metrics[COUNTED]) for found in metrics.values())}
    return {
        "unit": "seconds an evaluation",
        "variants": times,
        "work": work_entry(dict.fromkeys((COUNTED, LISTED), workload.work)),
        "ratios": ratios(times, COUNTED),
        "ratios_of_lists": ratios(times, LISTED),
        "metrics": {name: {key: found[key] for key in KEYS} for name, found in metrics.items()},
        "checks": checks,
    }


def make_case(workload: RankingWorkload, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Dataset]:
    """User and item vectors, [U, D] and [I, D] float32, and a dataset with one test item a user.

    A user has 3 to 50 training items, as in Beauty; the test item is the best of 200 drawn ones, so that ranks are
    neither all good nor all bad.
    """
    rng = np.random.default_rng(seed)
    users = rng.normal(0, 1, (workload.num_users, workload.dim)).astype(np.float32)
    items = rng.normal(0, 1, (workload.num_items, workload.dim)).astype(np.float32)
    counts = np.clip(2 + rng.geometric(0.16, workload.num_users), 3, 50)
    seen_users = np.repeat(np.arange(workload.num_users, dtype=np.int32), counts)
    seen_items = rng.integers(0, workload.num_items, len(seen_users), dtype=np.int32)
    targets = np.empty(workload.num_users, np.int32)
    for start in range(0, workload.num_users, 1024):
        drawn = rng.integers(0, workload.num_items, (len(users[start : start + 1024]), 200), dtype=np.int32)
        scores = np.einsum("ud,ucd->uc", users[start : start + 1024], items[drawn])
        targets[start : start + 1024] = np.take_along_axis(drawn, scores.argmax(1)[:, None], 1)[:, 0]
    user_ids = IdMap(np.arange(workload.num_users).astype(str))
    item_ids = IdMap(np.arange(workload.num_items).astype(str))
    train = Interactions(seen_users, seen_items, user_ids, item_ids)
    test = Interactions(np.arange(workload.num_users, dtype=np.int32), targets, user_ids, item_ids)
    dataset = Dataset("beauty-like", "sample", train, train.take(np.empty(0, np.int64)), test, "", {})
    return users, items, dataset


def evaluate(
    ranking: FullRanking, model: BPRMF, params: dict[str, dict[str, jax.Array]], context: Context, name: str
) -> Evaluation:
    """One evaluation, as the trainer asks for it."""
    return ranking.evaluate(model, params, context, lists=name == LISTED)


def save_case(path: pathlib.Path, users: np.ndarray, items: np.ndarray, ranking: FullRanking) -> None:
    """What the peer reads: vectors, one target a user, and the masked pairs."""
    ranked = ranking.users
    masked_rows = np.repeat(np.arange(len(ranked.user_ids)), np.diff(ranked.masked_indptr))
    np.savez(
        path,
        users=users[ranked.user_ids],
        items=items,
        targets=ranked.target_items,
        masked_rows=masked_rows,
        masked_items=ranked.masked_items,
        cutoffs=np.asarray(CUTOFFS),
    )


def _equal(left: dict[str, float], right: dict[str, float]) -> bool:
    """Two float32 products differ in the last bit, which may turn a rank of very few users by one."""
    return all(abs(left[key] - right[key]) <= TOLERANCE + 1e-4 * right[key] for key in KEYS)
