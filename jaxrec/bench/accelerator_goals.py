"""Goals of machines with accelerators: one (G), or eight (M), each beside a peer on the same device.

G6 asks for a PyTorch port of M3BSR, which is not there: its lines stand beside our own form with all scores at once,
where most of the temporary memory is the network's in both, and are aims alone.
"""

from __future__ import annotations

from jaxrec.bench.goal import Figure, Goal, Ratio

LLAMA = "transformers' FlaxLlamaForCausalLM"
GENERATED = {size: Ratio(f"jaxrec, batch {size}", f"transformers, batch {size}") for size in (1, 8)}
COO = "torch sparse COO autograd"
AT_ONCE = {
    family: Ratio(f"jaxrec {family}, 5 seeds at once", f"{family}, 5 runs one after another")
    for family in ("LightGCN", "SASRec")
}
EPOCH, RANKED = "jaxrec, epoch", "jaxrec, epoch and ranking"
GRAPH, WIDE, CATALOGUE = "LightGCN of Gowalla's size", "LightGCN, D = 256, 10 million edges", "SASRec, 618,529 items"

ONE_ACCELERATOR = (
    Goal(
        "G1",
        "lightgcn_device_epoch",
        "LightGCN epoch",
        f"{COO}, sampling left out",
        Ratio(EPOCH, f"{COO}, epoch without sampling"),
        5,
        20,
        "one accelerator",
    ),
    Goal(
        "G1",
        "lightgcn_device_epoch",
        "LightGCN epoch, seconds",
        "",
        Figure(("variants", EPOCH, "median"), "s"),
        None,
        0.3,
        "one accelerator",
    ),
    Goal(
        "G2",
        "lightgcn_device_epoch",
        "LightGCN epoch with sampling and full ranking",
        f"{COO}, Python sampler, top-k",
        Ratio(RANKED, f"{COO}, sampling, epoch and ranking"),
        15,
        60,
        "one accelerator",
    ),
    Goal(
        "G3",
        "propagation",
        "propagation, share of the bound by memory",
        "",
        Figure(("roofline", "jaxrec propagation", "share"), "of the bound", at_most=False),
        0.35,
        0.7,
        "one accelerator",
    ),
    Goal(
        "G4",
        "propagation",
        "LightGCN step, the same bits again",
        "own segment_sum, autodiff",
        Ratio("jaxrec step", "segment_sum step"),
        1,
        3,
        "one accelerator",
    ),
    Goal(
        "G5",
        "sasrec_epoch",
        "SASRec epoch of Beauty's size",
        "torch eager, one target a user",
        Ratio("jaxrec stream", "torch eager, one target a user"),
        15,
        60,
        "one accelerator",
    ),
    Goal(
        "G6",
        "m3bsr_step",
        "M3BSR step, 618,529 items",
        "our own with all scores at once",
        Ratio("jaxrec", "all scores at once"),
        None,
        8,
        "one accelerator",
    ),
    Goal(
        "G6",
        "m3bsr_step",
        "the same, temporary memory",
        "our own with all scores at once",
        Figure(("memory_ratio",), "x", at_most=False),
        None,
        8,
        "one accelerator",
    ),
    Goal(
        "G6",
        "m3bsr_step",
        "M3BSR epoch of 179 steps",
        "",
        Figure(("epoch_seconds",), "s"),
        None,
        1,
        "one accelerator",
    ),
    Goal(
        "G7",
        "large_rerank",
        "50 candidates, 7B Llama",
        "a prompt for each candidate",
        Ratio("jaxrec, scores under the shared prompt", "a prompt for each candidate"),
        20,
        35,
        "one accelerator",
    ),
    *(
        Goal("G8", "seeds_at_once", f"5 seeds of {family}", "one after another", ratio, 2.5, 4, "one accelerator")
        for family, ratio in AT_ONCE.items()
    ),
    *(
        Goal("L4", "generation", f"greedy answers, batch {size}", LLAMA, ratio, 3, None, "one accelerator")
        for size, ratio in GENERATED.items()
    ),
)
EIGHT_DEVICES = (
    *(
        Goal(
            name,
            "graph_devices",
            f"step on 8 devices, {workload}",
            "on 1",
            Ratio(f"jaxrec {workload}, 8 devices", f"jaxrec {workload}, 1 device"),
            must,
            aim,
            "eight devices",
        )
        for name, workload, must, aim in (("M1", GRAPH, 3, 5), ("M2", WIDE, 5.5, 7))
    ),
    Goal(
        "M3",
        "graph_devices",
        f"step on 8 devices, {GRAPH}",
        "nodes shared out by the compiler",
        Ratio(f"jaxrec {GRAPH}, 8 devices", f"{GRAPH}, nodes shared out by the compiler, 8 devices"),
        10,
        50,
        "eight devices",
    ),
    Goal(
        "M4",
        "sequence_devices",
        "step on 8 devices with 8 times the targets, speed of each device",
        "on 1",
        Ratio(f"jaxrec {CATALOGUE}, 8 devices", f"jaxrec {CATALOGUE}, 1 device"),
        0.85,
        0.95,
        "eight devices",
    ),
)
ACCELERATOR_GOALS = ONE_ACCELERATOR + EIGHT_DEVICES
