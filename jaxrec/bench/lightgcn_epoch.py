"""One LightGCN epoch at Gowalla's size with its sampling: the whole sampler, and a part of the steps scaled to all."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import time

import numpy as np

from jaxrec.bench.lightgcn import GRAPH_NETWORK, TORCH_VARIANTS, LightGCNCase
from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.roofline import work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import lightgcn_workload

DESCRIPTION = "a LightGCN epoch with sampling (timed steps scaled to the epoch) against jraph and PyTorch loops"
OURS = "jaxrec scan, device sampling"
PLAIN = f"{GRAPH_NETWORK}, NumPy rejection sampling"
# Minutes an epoch, for some: this many steps of each are timed, and the entry says so.
OUR_STEPS, PEER_STEPS = 24, 4


def run(settings: Settings) -> dict:
    """Seconds an epoch. Our sampling is inside the steps; that of the others is timed whole, once a repetition."""
    case = LightGCNCase(lightgcn_workload(settings.scale))
    per_epoch = case.workload.steps_per_epoch
    ours, plain = case.scanned_steps(OUR_STEPS), case.plain_steps()

    def epoch_of(steps_seconds: float, steps: int, sampling_seconds: float) -> float:
        return steps_seconds / steps * per_epoch + sampling_seconds

    def our_epoch() -> float:
        return epoch_of(_seconds(ours), OUR_STEPS, 0.0)

    def plain_epoch() -> float:
        sampling = _seconds(lambda: rejection_sample(case, np.random.default_rng(0)))
        return epoch_of(_seconds(lambda: plain(case.batches[:PEER_STEPS])), PEER_STEPS, sampling)

    variants = {OURS: our_epoch, PLAIN: plain_epoch}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            path = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "workload.npz"
            case.save(path)
            peer = stack.enter_context(device_peer(settings.torch_python, "torch_lightgcn.py", str(path)))

            def torch_epoch(variant: str) -> float:
                sampling = peer.ask(do="sample")["seconds"]
                steps = peer.ask(do="steps", variant=variant, steps=PEER_STEPS)["seconds"]
                return epoch_of(steps, PEER_STEPS, sampling)

            for name, variant in TORCH_VARIANTS.items():
                variants[f"{name}, Python sampler"] = lambda variant=variant: torch_epoch(variant)
        times = interleave(variants, settings)
    return {
        "unit": "seconds an epoch",
        "steps_per_epoch": per_epoch,
        "steps_timed": {name: OUR_STEPS if name == OURS else PEER_STEPS for name in times},
        "variants": times,
        "programs": {OURS: case.program},
        "work": work_entry({OURS: case.workload.step_work.times(per_epoch)}),
        "ratios": ratios(times, OURS),
        "checks": {},
    }


def rejection_sample(case: LightGCNCase, rng: np.random.Generator) -> np.ndarray:
    """An epoch's triples [num_pairs, 3], negatives redrawn while they are positives: vectorised, sorted keys."""
    num_items = case.workload.num_items
    keys = case.user_ids.astype(np.int64) * num_items + case.item_ids
    order = rng.permutation(len(keys))
    users = case.user_ids[order].astype(np.int64)
    negatives = rng.integers(0, num_items, len(users))
    left = np.arange(len(users))
    while len(left):
        drawn = users[left] * num_items + negatives[left]
        place = np.minimum(np.searchsorted(keys, drawn), len(keys) - 1)
        left = left[keys[place] == drawn]
        negatives[left] = rng.integers(0, num_items, len(left))
    return np.stack([users, case.item_ids[order], negatives], axis=1)


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
