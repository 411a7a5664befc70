"""SASRec over all targets of Beauty's size, 2,048 of them a step, as an accelerator runs it; the same gradients."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.sasrec_step import OURS, TOLERANCE, SASRecCase, SASRecWorkload, relative_errors
from jaxrec.bench.settings import Settings

DESCRIPTION = "a SASRec epoch (22,528 users, 12,101 items) of steps of 2,048 targets against PyTorch's (accelerators)"
WORKLOADS = {
    "full": SASRecWorkload(batch_users=2048, num_batches=11),
    "small": SASRecWorkload(num_items=300, batch_users=16, num_batches=2, max_length=10),
}
TORCH_VARIANTS = {
    "torch eager, one target a user": ("last", False, 8),
    "torch eager, packed and masked": ("packed", False, 4),
    "torch.compile, packed and masked": ("packed", True, 4),
}
"""Form, whether it is compiled, and steps that are timed; each is scaled to the targets of the epoch."""


def run(settings: Settings) -> dict:
    """Seconds an epoch; ours runs it whole. Loss and gradients of one batch compared with PyTorch's packed form."""
    workload = WORKLOADS[settings.scale]
    case = SASRecCase(workload, workload.batch_users)
    steps = -(-case.num_targets // case.targets_per_step)
    variants: dict[str, Callable[[], Any]] = {OURS: case.steps(steps)}
    per = {OURS: 1.0}
    errors: dict[str, dict[str, float]] = {}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            case.save(folder / "workload.npz")
            peer = stack.enter_context(
                device_peer(settings.torch_python, "torch_sasrec.py", str(folder / "workload.npz"))
            )
            answer = peer.ask(do="gradient", form="packed", path=str(folder / "gradient.npz"))
            theirs = answer["loss"], np.load(folder / "gradient.npz")
            errors["torch packed"] = relative_errors(case.gradient(), theirs)
            for name, (form, compiled, timed) in TORCH_VARIANTS.items():
                if settings.scale == "small" and compiled:
                    continue  # compiling takes longer than all the rest
                question = {"do": "steps", "form": form, "compiled": compiled, "steps": timed}
                variants[name] = lambda question=question: peer.ask(**question)["seconds"]
                per[name] = peer.ask(**question)["targets"] / case.num_targets
        times = interleave(variants, settings, per=per)
    return {
        "unit": "seconds an epoch",
        "steps_per_epoch": steps,
        "targets": case.num_targets,
        "targets_per_step": case.targets_per_step,
        "variants": times,
        "programs": {OURS: compile_timed(*case.one_step())[1]},
        "work": work_entry({OURS: case.step_work.times(case.num_targets / case.targets_per_step)}),
        "ratios": ratios(times, OURS),
        "relative_errors": errors,
        "checks": {
            "losses and gradients equal": all(e <= TOLERANCE for error in errors.values() for e in error.values())
        },
    }
