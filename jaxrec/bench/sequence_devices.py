"""A SASRec step on 1, 2, 4 and 8 devices with as many targets on each: batch shared out, catalogue by item."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.accelerator_goals import CATALOGUE
from jaxrec.bench.devices import require_accelerators
from jaxrec.bench.on_mesh import COUNTS, Steps, devices, relative, training
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.simulated_devices import ask_on_devices
from jaxrec.data.sequence_rows import Sequences
from jaxrec.models.base import Context
from jaxrec.models.sasrec import SASRec, SASRecConfig
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh
from jaxrec.train.sequence_input import SequenceInput
from jaxrec.train.sequence_source import SequenceShape, StreamSource

DESCRIPTION = "a SASRec step over 618,529 items on 1, 2, 4 and 8 devices, 2,048 targets on each; losses equal"
STEPS_PER_CALL, COMPARED_STEPS = 8, 2
TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class SequenceWorkload:
    """Users with 3 to max_length inputs, geometrically many; a device has `targets` of a step."""

    num_items: int = 618_529
    num_users: int = 24_576
    targets: int = 2048
    max_length: int = 50
    dim: int = 64

    def sequences(self) -> Sequences:
        """One after the other; items by a power law."""
        rng = np.random.default_rng(0)
        counts = np.clip(2 + rng.geometric(0.18, self.num_users), 3, self.max_length)
        starts = (np.cumsum(counts + 1) - counts - 1).astype(np.int32)
        popularity = (np.arange(self.num_items) + 30.0) ** -0.6
        items = rng.choice(self.num_items, int((counts + 1).sum()), p=popularity / popularity.sum())
        users = np.arange(self.num_users, dtype=np.int32)
        return Sequences(users, starts, counts.astype(np.int32), items.astype(np.int32))


WORKLOADS = {"full": SequenceWorkload(), "small": SequenceWorkload(301, 60, 8, 10, 8)}


def run(settings: Settings) -> dict:
    """Seconds a step on the visible accelerators. At small scale eight simulated devices, which are not timed."""
    unit = "seconds a step, each device the same number of targets"
    if settings.scale == "small":
        losses = ask_on_devices(max(COUNTS), "jaxrec.bench.sequence_devices")
        return {"unit": unit, "variants": {}, "ratios": {}, "losses": losses, "checks": checks(losses)}
    require_accelerators("sequence_devices", 2)
    losses = same_batches(settings.scale)
    trained = {f"jaxrec {CATALOGUE}, {devices(count)}": _form(settings.scale, count, count) for count in _counts()}
    calls = {name: functools.partial(_timed, run) for name, run in trained.items()}
    times = interleave(calls, settings, per=dict.fromkeys(calls, STEPS_PER_CALL))
    return {
        "unit": unit,
        "steps_per_call": STEPS_PER_CALL,
        "variants": times,
        "ratios": ratios(times, f"jaxrec {CATALOGUE}, {devices(max(_counts()))}"),
        "losses": losses,
        "checks": checks(losses),
    }


def same_batches(scale: Literal["small", "full"]) -> dict[str, float]:
    """Mean loss of the first steps on batches of all devices' targets, on one device and on all of them."""
    most = max(_counts())
    return {devices(count): _form(scale, count, most)(COMPARED_STEPS) for count in (1, most)}


def checks(losses: dict[str, float]) -> dict[str, bool]:
    """Whether the loss is that of one device."""
    return {"losses equal": relative(list(losses.values())) <= TOLERANCE}


def _counts() -> list[int]:
    return [count for count in COUNTS if count <= jax.device_count()]


def _timed(run: Steps) -> None:
    run(STEPS_PER_CALL)  # what a call returns would be taken as seconds


def _form(scale: Literal["small", "full"], count: int, shares: int) -> Steps:
    """Training on `count` devices, with batches of the targets of `shares` devices."""
    workload = WORKLOADS[scale]
    config = SASRecConfig(dim=workload.dim, dropout=0.0, max_length=workload.max_length)
    model = SASRec(config, workload.num_users, workload.num_items)
    shape = SequenceShape(workload.targets * shares, workload.max_length)
    data = SequenceInput(StreamSource(workload.sequences(), None), shape)
    ctx = Context(item_counts=jnp.ones(workload.num_items, jnp.int32))
    return training(model, data, ctx, config.partition_rules, make_mesh(DevicesConfig(count=count), config.mesh_axis))


def main() -> None:
    """In the process that sees simulated devices: losses at small scale, and a step of each share."""
    losses = same_batches("small")
    for count in _counts():
        _form("small", count, count)(1)
    sys.stdout.write(json.dumps(losses) + "\n")


if __name__ == "__main__":
    main()
