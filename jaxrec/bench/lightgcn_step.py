"""One LightGCN training step at Gowalla's size: forward, backward and Adam, the same gradient from every variant."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import numpy as np

from jaxrec.bench.lightgcn import GRAPH_NETWORK, TORCH_VARIANTS, LightGCNCase
from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.roofline import work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import lightgcn_workload

DESCRIPTION = "a LightGCN step (Gowalla's size) against jraph.GraphNetwork autodiff and PyTorch; same gradients"
OURS = "jaxrec scan"
STEPS_PER_CALL = 12
TOLERANCE = 1e-5


def run(settings: Settings) -> dict:
    """Seconds a step; gradients and losses of one batch compared with the plain jraph form and with PyTorch's."""
    case = LightGCNCase(lightgcn_workload(settings.scale))
    reference_loss, reference = case.plain_gradient()
    results = {OURS: case.gradient()}
    plain = case.plain_steps()
    variants = {OURS: case.scanned_steps(STEPS_PER_CALL), GRAPH_NETWORK: lambda: plain(case.batches[:2])}
    per = {OURS: STEPS_PER_CALL, GRAPH_NETWORK: 2}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            case.save(folder / "workload.npz")
            peer = stack.enter_context(
                device_peer(settings.torch_python, "torch_lightgcn.py", str(folder / "workload.npz"))
            )
            for name, variant in TORCH_VARIANTS.items():
                path = folder / f"{variant}.npy"
                loss = peer.ask(do="gradient", variant=variant, path=str(path))["loss"]
                results[name] = (loss, np.load(path))
                variants[name] = lambda variant=variant: peer.ask(do="steps", variant=variant, steps=2)["seconds"]
                per[name] = 2
        times = interleave(variants, settings, per=per)
    errors = {
        name: {
            "gradient": float(np.abs(gradient - reference).max() / np.abs(reference).max()),
            "loss": abs(loss - reference_loss) / abs(reference_loss),
        }
        for name, (loss, gradient) in results.items()
    }
    faster = ratios(times, OURS)
    checks = {
        "gradients_equal": all(error["gradient"] <= TOLERANCE for error in errors.values()),
        "losses_equal": all(error["loss"] <= TOLERANCE for error in errors.values()),
    }
    return {
        "unit": "seconds a step",
        "steps_per_call": STEPS_PER_CALL,
        "variants": times,
        "programs": {OURS: case.program},
        "work": work_entry({OURS: case.workload.step_work}),
        "ratios": faster,
        "relative_errors": errors,
        "checks": checks,
    }
