"""A LightGCN step on 1, 2, 4 and 8 devices: features shared out; beside it nodes shared out by the compiler."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jaxrec.bench.accelerator_goals import GRAPH, WIDE
from jaxrec.bench.devices import require_accelerators
from jaxrec.bench.on_mesh import COUNTS, Steps, devices, relative, training
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.simulated_devices import ask_on_devices
from jaxrec.bench.synthetic import LightGCNWorkload, interaction_pairs, lightgcn_workload
from jaxrec.models.base import Context
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.nn.graph import build_graph
from jaxrec.train.config import DevicesConfig
from jaxrec.train.input import DeviceInput
from jaxrec.train.mesh import make_mesh

DESCRIPTION = "a LightGCN step on 1, 2, 4 and 8 devices (Gowalla's size; D 256 with 10 million edges); losses equal"
WORKLOADS = {
    "full": {
        GRAPH: lightgcn_workload("full"),
        WIDE: LightGCNWorkload(num_users=200_000, num_items=100_000, num_pairs=10_000_000, dim=256),
    },
    "small": {GRAPH: lightgcn_workload("small")},
}
STEPS_PER_CALL = {"full": 24, "small": 12}
TOLERANCE = 1e-5
_BY_NODES = (("embedding$", PartitionSpec("model", None)),)


def run(settings: Settings) -> dict:
    """Seconds a step on the visible accelerators. At small scale eight simulated devices, which are not timed."""
    if settings.scale == "small":
        losses = ask_on_devices(max(COUNTS), "jaxrec.bench.graph_devices")
        return {"unit": "seconds a step", "variants": {}, "ratios": {}, "losses": losses, "checks": checks(losses)}
    require_accelerators("graph_devices", 2)
    trained = forms(settings.scale)
    steps = STEPS_PER_CALL[settings.scale]
    losses = {name: run(steps) for name, run in trained.items()}
    calls = {name: functools.partial(_timed, run, steps) for name, run in trained.items()}
    times = interleave(calls, settings, per=dict.fromkeys(calls, steps))
    faster = {}
    for workload in WORKLOADS[settings.scale]:
        of_workload = {name: found for name, found in times.items() if workload in name}
        faster |= ratios(of_workload, f"jaxrec {workload}, {devices(max(_counts()))}")
    return {
        "unit": "seconds a step",
        "steps_per_call": steps,
        "variants": times,
        "ratios": faster,
        "losses": losses,
        "checks": checks(losses),
    }


def forms(scale: Literal["small", "full"]) -> dict[str, Steps]:
    """Every workload on every number of devices, and the first by nodes on the most; the same batches for each."""
    found = {}
    for place, (name, workload) in enumerate(WORKLOADS[scale].items()):
        pairs = interaction_pairs(workload)
        for count in _counts():
            found[f"jaxrec {name}, {devices(count)}"] = _form(workload, pairs, count)
        if place == 0:
            most = max(_counts())
            found[f"{name}, nodes shared out by the compiler, {devices(most)}"] = _form(workload, pairs, most, True)
    return found


def checks(losses: dict[str, float]) -> dict[str, bool]:
    """Whether a workload's losses are those of one device, whatever the devices and the form."""
    found = {}
    for workload in (GRAPH, WIDE):
        own = [loss for name, loss in losses.items() if workload in name]
        if own:
            found[f"{workload}: losses equal"] = relative(own) <= TOLERANCE
    return found


def _counts() -> list[int]:
    return [count for count in COUNTS if count <= jax.device_count()]


def _timed(run: Steps, steps: int) -> None:
    run(steps)  # what a call returns would be taken as seconds


def _form(
    workload: LightGCNWorkload, pairs: tuple[np.ndarray, np.ndarray], count: int, by_nodes: bool = False
) -> Steps:
    config = LightGCNConfig(dim=workload.dim, num_layers=workload.num_layers)
    # Rows come in equal parts only where the devices divide their number: up to seven items more, without edges.
    num_items = workload.num_items + -(workload.num_users + workload.num_items) % max(COUNTS)
    mesh = make_mesh(DevicesConfig(count=count), config.mesh_axis)
    graph = build_graph(*pairs, workload.num_users, num_items, backend="jraph" if by_nodes else "auto")
    counts = np.bincount(pairs[1], minlength=num_items).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs[0], minlength=workload.num_users))]).astype(np.int32)
    data = DeviceInput(pairs, (indptr, pairs[1]), workload.batch_size)
    ctx = Context(graph=graph, item_counts=jnp.asarray(counts))
    model = LightGCN(config, workload.num_users, num_items)
    rules: Any = _BY_NODES if by_nodes else config.partition_rules
    return training(model, data, ctx, rules, mesh, told=not by_nodes)


def main() -> None:
    """In the process that sees simulated devices: the losses of all forms at small scale."""
    losses = {name: run(STEPS_PER_CALL["small"]) for name, run in forms("small").items()}
    sys.stdout.write(json.dumps(losses) + "\n")


if __name__ == "__main__":
    main()
