"""A whole LightGCN epoch at Gowalla's size, alone and with sampling and full ranking, as an accelerator runs it."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrec.bench.lightgcn import LightGCNCase
from jaxrec.bench.lightgcn_epoch import rejection_sample
from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.roofline import work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import first_embeddings, lightgcn_workload
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from jaxrec.models.base import Context
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig

DESCRIPTION = "all steps of a LightGCN epoch, and with them sampling and full ranking, against PyTorch's (accelerators)"
OURS, RANKED = "jaxrec, epoch", "jaxrec, epoch and ranking"
COO = "torch sparse COO autograd"
TORCH, TORCH_RANKED = f"{COO}, epoch without sampling", f"{COO}, sampling, epoch and ranking"
CUTOFFS = (10, 20)
TOLERANCE = 1e-3
"""Of a metric: two float32 products differ in the last bits, which may turn the ranks of a few users."""


def run(settings: Settings) -> dict:
    """Seconds an epoch, every step of it, our sampling inside the steps; the metrics of one ranking compared."""
    case = LightGCNCase(lightgcn_workload(settings.scale))
    steps = case.workload.steps_per_epoch
    dataset = left_out(case)
    ranking = FullRanking(dataset, "test", EvalConfig(k=CUTOFFS))
    sizes = case.workload.num_users, case.workload.num_items
    model = LightGCN(LightGCNConfig(dim=case.workload.dim, num_layers=case.workload.num_layers), *sizes)
    counts = jnp.bincount(jnp.asarray(case.item_ids), length=sizes[1]).astype(jnp.int32)
    ctx, first = Context(graph=case.graph, item_counts=counts), jnp.asarray(first_embeddings(case.workload))
    epoch = case.scanned_steps(steps)

    def rank() -> dict[str, float]:
        # Which vectors are ranked is no matter of time: the first ones, for which the peer must find the same.
        return dict(ranking.evaluate(model, {"nodes": {"embedding": first}}, ctx, lists=False).metrics)

    def epoch_and_ranking() -> None:
        epoch()
        rank()

    variants: dict[str, Callable[[], Any]] = {OURS: epoch, RANKED: epoch_and_ranking}
    metrics = {RANKED: rank()}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            path = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "workload.npz"
            case.save(path, targets=dataset.test.item_ids, cutoffs=np.asarray(CUTOFFS))
            peer = stack.enter_context(device_peer(settings.torch_python, "torch_lightgcn.py", str(path)))
            metrics[TORCH_RANKED] = peer.ask(do="rank")["metrics"]

            def torch_epoch() -> float:
                return peer.ask(do="steps", variant="coo", steps=steps)["seconds"]

            def torch_epoch_and_ranking() -> float:
                return peer.ask(do="sample")["seconds"] + torch_epoch() + peer.ask(do="rank")["seconds"]

            variants |= {TORCH: torch_epoch, TORCH_RANKED: torch_epoch_and_ranking}
        times = interleave(variants, settings)
    compared = [f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTOFFS]
    return {
        "unit": "seconds an epoch",
        "steps_per_epoch": steps,
        "variants": times,
        "programs": {OURS: case.program},
        "work": work_entry({OURS: case.workload.step_work.times(steps)}),
        "ratios": ratios(times, RANKED),
        "ratios_without_ranking": {TORCH: ratios(times, OURS)[TORCH]} if TORCH in times else {},
        "metrics": {name: {key: found[key] for key in compared} for name, found in metrics.items()},
        "checks": {
            "metrics equal": all(
                abs(found[key] - metrics[RANKED][key]) <= TOLERANCE for found in metrics.values() for key in compared
            )
        },
    }


def left_out(case: LightGCNCase) -> Dataset:
    """The pairs as training part, and one item that each user does not have as test part, users in order."""
    triples = rejection_sample(case, np.random.default_rng(0))
    users, first = np.unique(triples[:, 0], return_index=True)
    user_ids, item_ids = (
        IdMap(np.arange(count).astype(str)) for count in (case.workload.num_users, case.workload.num_items)
    )
    train = Interactions(case.user_ids, case.item_ids, user_ids, item_ids)
    test = Interactions(users.astype(np.int32), triples[first, 2].astype(np.int32), user_ids, item_ids)
    return Dataset("gowalla-like", "sample", train, train.take(np.empty(0, np.int64)), test, "", {})
