"""The workloads by name. A workload is a module with DESCRIPTION and run(settings); it is imported when asked for.

A workload module holds

    DESCRIPTION: str                       one line for `bench list`
    def run(settings: Settings) -> dict:   the workload's entry of the report, JSON values only

and measures with `jaxrec.bench.runner.interleave(variants, settings)`, where `variants` maps a variant's name to a
function that does one repetition and returns when it is done. The returned times go into the entry as they are:

    {"variants": {name: {"seconds": [...], "median": s, "min": s}}, "ratios": {...}, "checks": {name: bool}, ...}

`settings.scale` is "full" (the sizes that figures are quoted for) or "small" (the same program in seconds, for tests).
"""

from __future__ import annotations

import importlib
from typing import Protocol

from jaxrec.bench.devices import Needs
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

WORKLOADS = {
    "lightgcn_step": "jaxrec.bench.lightgcn_step",
    "lightgcn_epoch": "jaxrec.bench.lightgcn_epoch",
    "lightgcn_device_epoch": "jaxrec.bench.lightgcn_device_epoch",
    "propagation": "jaxrec.bench.propagation",
    "step_collectives": "jaxrec.bench.step_collectives",
    "mf_steps": "jaxrec.bench.mf_steps",
    "seeds_at_once": "jaxrec.bench.seeds_at_once",
    "alignment": "jaxrec.bench.alignment",
    "sampler": "jaxrec.bench.sampler",
    "ranking": "jaxrec.bench.ranking",
    "graph_devices": "jaxrec.bench.graph_devices",
    "sequence_devices": "jaxrec.bench.sequence_devices",
    "data_parallel_step": "jaxrec.bench.data_parallel_step",
    "scatter_contention": "jaxrec.bench.scatter_contention",
    "item_softmax": "jaxrec.bench.item_softmax",
    "data_prepare": "jaxrec.bench.data_prepare",
    "data_shards": "jaxrec.bench.data_shards",
    "sasrec_step": "jaxrec.bench.sasrec_step",
    "sasrec_epoch": "jaxrec.bench.sasrec_epoch",
    "m3bsr_step": "jaxrec.bench.m3bsr_step",
    "compile_cache": "jaxrec.bench.compile_cache",
    "growth": "jaxrec.bench.growth",
    "reverse_chain": "jaxrec.bench.reverse_chain",
    "capsule_routing": "jaxrec.bench.capsule_routing",
    "retrieval": "jaxrec.bench.retrieval",
    "prefix_scoring": "jaxrec.bench.prefix_scoring",
    "generation": "jaxrec.bench.generation",
    "candidate_ranking": "jaxrec.bench.candidate_ranking",
    "large_rerank": "jaxrec.bench.large_rerank",
}

NEEDS: dict[str, Needs] = {
    "lightgcn_device_epoch": "one accelerator",
    "propagation": "one accelerator",
    "sasrec_epoch": "one accelerator",
    "m3bsr_step": "one accelerator",
    "large_rerank": "one accelerator",
    "graph_devices": "eight devices",
    "sequence_devices": "eight devices",
}
"""What `run all` leaves out at full scale where a machine has none; the others run anywhere."""


class Workload(Protocol):
    """What a workload module offers."""

    DESCRIPTION: str

    def run(self, settings: Settings) -> dict:
        """Measure, and return the workload's entry of the report."""
        ...


def load(name: str) -> Workload:
    """The workload's module."""
    if name not in WORKLOADS:
        raise UserError(f"bench: found workload {name!r}, allowed {', '.join(WORKLOADS)}")
    return importlib.import_module(WORKLOADS[name])  # type: ignore[return-value]
