"""The goals as data, beside a report.

P1 to P16 and L1 to L5 are for two CPU cores, G and M for accelerators. Goals hold at full scale alone; a figure counts
only where every check of its workload (equal gradients, equal metrics) holds in the same run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from jaxrec.bench.accelerator_goals import ACCELERATOR_GOALS, GENERATED, LLAMA
from jaxrec.bench.devices import Needs, of_report
from jaxrec.bench.goal import Figure, Goal, Judged, Ratio, judge

SCAN, STREAM, BIG = "jaxrec scan", "jaxrec stream", "618,529 items"
COO, CSR = "torch sparse COO autograd", "torch CSR + symmetric Function"
TOPK, LOADER = "torch matmul, mask, top-k", "torch DataLoader, 0 workers"
ALONE = "a prompt for each candidate"

GOALS = (
    Goal("P1", "lightgcn_step", "LightGCN step", COO, Ratio(SCAN, COO), 5, 12),
    Goal("P2", "lightgcn_step", "LightGCN step", CSR, Ratio(SCAN, CSR), 2, 4),
    Goal(
        "P3",
        "lightgcn_step",
        "LightGCN step",
        "own jraph.GraphNetwork, autodiff",
        Ratio(SCAN, "jraph.GraphNetwork autodiff"),
        5,
        10,
    ),
    Goal(
        "P4",
        "lightgcn_epoch",
        "LightGCN epoch with sampling",
        f"{COO}, Python sampler",
        Ratio(f"{SCAN}, device sampling", f"{COO}, Python sampler"),
        6,
        12,
    ),
    Goal(
        "P5",
        "step_collectives",
        "LightGCN step on 8 devices, bytes said",
        "8 bytes for each of the batch",
        Figure(("programs", "jaxrec, features shared out", "collective_bytes"), "B"),
        64 * 1024,
        16 * 1024,
    ),
    Goal(
        "P6",
        "sasrec_step",
        "SASRec, time a target",
        "torch eager, padded",
        Ratio(STREAM, "torch eager, padded"),
        12,
        30,
    ),
    Goal(
        "P6",
        "sasrec_step",
        "SASRec, time a target",
        "torch.compile, padded",
        Ratio(STREAM, "torch.compile, padded"),
        6,
        15,
    ),
    Goal(
        "P7",
        "sasrec_step",
        "SASRec, time a target",
        "torch.compile, packed and masked",
        Ratio(STREAM, "torch.compile, packed and masked"),
        1.4,
        3,
    ),
    Goal(
        "P8",
        "sasrec_step",
        "SASRec, time a target",
        "torch eager, one target a user",
        Ratio(STREAM, "torch eager, one target a user"),
        7,
        20,
    ),
    Goal(
        "P9",
        "item_softmax",
        f"softmax loss, {BIG}",
        "torch cross_entropy",
        Ratio(f"jaxrec, {BIG}", f"torch cross_entropy, {BIG}"),
        3,
        5,
    ),
    Goal(
        "P9",
        "item_softmax",
        f"the same, temporary memory, {BIG}",
        "all scores at once in JAX",
        Figure(("memory_ratio",), "x", at_most=False),
        12,
        25,
    ),
    Goal("P10", "ranking", "every user's rank", TOPK, Ratio("jaxrec ranks", TOPK), 3, 5),
    Goal("P11", "ranking", "every user's list", TOPK, Ratio("jaxrec lists", TOPK), 1.2, 2.5),
    Goal("P12", "prefix_scoring", "20 candidates of four tokens", ALONE, Ratio("jaxrec", ALONE), 14, None),
    Goal(
        "P12",
        "prefix_scoring",
        "20 candidates of one token",
        f"{ALONE}, of four",
        Ratio("jaxrec, one token each", ALONE),
        None,
        22,
    ),
    Goal("P13", "reverse_chain", "reverse diffusion", "torch eager", Ratio("jaxrec", "torch eager"), 1.5, 3),
    Goal("P14", "mf_steps", "200 small steps of BPR-MF", "torch eager", Ratio(SCAN, "torch eager"), 3, 8),
    Goal(
        "P15",
        "compile_cache",
        "compiling a SASRec step, warm cache",
        "cold cache",
        Ratio("jaxrec, warm cache", "cold cache"),
        8,
        None,
    ),
    Goal(
        "P15",
        "compile_cache",
        "start of a process to its first step done, warm cache",
        "",
        Figure(("first_step_seconds", "jaxrec, warm cache", "median"), "s"),
        None,
        5,
    ),
    Goal("P16", "sampler", "epoch of triples, on the device", LOADER, Ratio("jaxrec device", LOADER), 10, 50),
    Goal("P16", "sampler", "epoch of triples, in blocks", LOADER, Ratio("jaxrec blocks", LOADER), 10, 50),
    Goal(
        "L1",
        "alignment",
        "LMMRec's alignment losses",
        "a softmax for every direction",
        Ratio("jaxrec", "softmax for every direction"),
        1.5,
        None,
    ),
    Goal("L2", "data_prepare", "10 million interactions, seconds", "", Figure(("seconds",), "s"), 60, 30),
    Goal("L2", "data_prepare", "10 million interactions, peak memory", "", Figure(("peak_rss_mb",), "MB"), 4096, 2048),
    *(
        Goal("L5", "data_shards", f"100 million interactions, memory to {name}", "", Figure(path, "MB"), 8192, 4096)
        for name, path in (("prepare", ("peak_rss_mb", "prepare")), ("train", ("peak_rss_mb", "train")))
    ),
    *(
        Goal("L3", "capsule_routing", f"capsule routing, {kind} map", peer, Ratio(f"jaxrec, {kind} map", peer), 1, None)
        for kind, peer in (
            ("shared", "torch votes, shared map"),
            ("capsule", "torch votes, capsule map"),
            ("position", "torch votes, position map"),
            ("capsule", "torch without votes, capsule map"),
        )
    ),
    *(
        Goal("L4", "generation", f"greedy answers, batch {size}", LLAMA, ratio, 1, None)
        for size, ratio in GENERATED.items()
    ),
    *ACCELERATOR_GOALS,
)


def select(ids: Iterable[str], offers: Collection[Needs] = ("two CPU cores",)) -> list[Goal]:
    """The goals of some ids, in order; without ids all P, G and M that a machine can measure."""
    wanted = set(ids)
    return [goal for goal in GOALS if (goal.id in wanted if wanted else goal.id[0] != "L") and goal.needs in offers]


def judge_all(report: dict[str, Any], goals: Iterable[Goal] = GOALS) -> list[Judged]:
    """Every goal of the devices that the report is of; at small scale none."""
    if report["settings"]["scale"] != "full":
        return []
    offers = of_report(report)
    return [judge(goal, report["workloads"].get(goal.workload)) for goal in goals if goal.needs in offers]
