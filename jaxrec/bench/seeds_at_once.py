"""Several seeds of one experiment in one program against the same runs one after another; the same parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.bench.program import describe
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.sasrec_step import SASRecCase, flat_sequences, workload_of
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import interaction_pairs, lightgcn_workload
from jaxrec.models.base import Context, Model
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.nn.graph import build_graph
from jaxrec.train.input import DeviceInput
from jaxrec.train.seeds_step import make_seeds_loop, stack_states
from jaxrec.train.sequence_input import SequenceInput
from jaxrec.train.sequence_source import SequenceShape, StreamSource
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import Progress

DESCRIPTION = "5 seeds in one program against 5 runs one after another: LightGCN, BPR-MF (Gowalla's size), SASRec"
SEEDS = {"full": 5, "small": 2}
STEPS_PER_CALL = {"full": 8, "small": 2}
TOLERANCE = 1e-4
"""Of the parameters after the first call, against their largest: sums in another order, and Adam divides by them."""


@dataclasses.dataclass(frozen=True)
class Family:
    """A model, what it reads and what it is trained on."""

    model: Model
    ctx: Context
    data: DeviceInput | SequenceInput
    optimizer: optax.GradientTransformation


def run(settings: Settings) -> dict:
    """Seconds a step of one seed; the parameters of every seed compared after the first call."""
    num_seeds, num_steps = SEEDS[settings.scale], STEPS_PER_CALL[settings.scale]
    variants: dict[str, Callable[[], Any]] = {}
    errors, programs = {}, {}
    for name, family in families(settings.scale).items():
        together, program = at_once(family, range(num_seeds), num_steps)
        alone = one_after_another(family, range(num_seeds), num_steps)
        together.advance()
        alone.advance()
        errors[name] = max(map(_difference, together.params(), alone.params()))
        programs[at_once_name(name, num_seeds)] = program
        variants[at_once_name(name, num_seeds)] = together.advance
        variants[alone_name(name, num_seeds)] = alone.advance
    times = interleave(variants, settings, per=dict.fromkeys(variants, num_seeds * num_steps))
    faster = {}
    for name in errors:
        ours, other = at_once_name(name, num_seeds), alone_name(name, num_seeds)
        faster |= ratios({ours: times[ours], other: times[other]}, ours)
    return {
        "unit": "seconds a step of one seed",
        "seeds": num_seeds,
        "steps_per_call": num_steps,
        "variants": times,
        "ratios": faster,
        "programs": programs,
        "relative_errors": errors,
        "checks": {f"{name}: each seed as by itself": error <= TOLERANCE for name, error in errors.items()},
    }


def at_once_name(family: str, num_seeds: int) -> str:
    """The variant of ours."""
    return f"jaxrec {family}, {num_seeds} seeds at once"


def alone_name(family: str, num_seeds: int) -> str:
    """What it is compared with: ours too, in as many programs."""
    return f"{family}, {num_seeds} runs one after another"


def families(scale: str) -> dict[str, Family]:
    """LightGCN and BPR-MF on one set of pairs, and SASRec; at small scale the first alone."""
    workload = lightgcn_workload("small" if scale == "small" else "full")
    users, items = interaction_pairs(workload)
    counts = jnp.bincount(jnp.asarray(items), length=workload.num_items).astype(jnp.int32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=workload.num_users))]).astype(np.int32)
    data = DeviceInput((users, items), (indptr, items), workload.batch_size)
    optimizer = optax.adam(workload.learning_rate)
    graph = jax.device_put(build_graph(users, items, workload.num_users, workload.num_items))
    lightgcn = LightGCNConfig(dim=workload.dim, num_layers=workload.num_layers)
    sizes = workload.num_users, workload.num_items
    ctx = Context(graph=graph, item_counts=counts)
    found = {"LightGCN": Family(LightGCN(lightgcn, *sizes), ctx, data, optimizer)}
    if scale == "full":
        bprmf = BPRMF(BPRMFConfig(dim=workload.dim), *sizes)
        found["BPR-MF"] = Family(bprmf, Context(item_counts=counts), data, optimizer)
        case = SASRecCase(workload_of("full"))
        source = StreamSource(flat_sequences(case.sequences), None)
        stream = SequenceInput(source, SequenceShape(case.targets_per_step, case.workload.max_length))
        found["SASRec"] = Family(case.model, case.ctx, stream, case.optimizer)
    return found


@dataclasses.dataclass(frozen=True)
class Runs:
    """advance: goes on by the steps of a call; params: those of each seed by now."""

    advance: Callable[[], None]
    params: Callable[[], list[Any]]


def at_once(family: Family, seeds: Sequence[int], num_steps: int) -> tuple[Runs, dict[str, Any]]:
    """All seeds in one program, and what it costs."""
    loop = jax.jit(make_seeds_loop(family.model, family.optimizer, family.data, seeds), donate_argnums=0)
    states = [first_state(family.model, family.optimizer, family.ctx, seed) for seed in seeds]
    carried = [stack_states(states)]
    arrays, active = jax.device_put((family.data.arrays, np.ones(len(seeds), bool)))
    compiled = loop.lower(carried[0], jnp.int32(num_steps), active, arrays, family.ctx).compile()

    def call(state: TrainState, steps: int) -> tuple[TrainState, Progress]:
        return compiled(state, jnp.int32(steps), active, arrays, family.ctx)

    def params() -> list[Any]:
        return [jax.tree.map(lambda leaf, place=place: leaf[place], carried[0].params) for place in range(len(seeds))]

    return Runs(lambda: _advance([(carried, call)], num_steps), params), describe(compiled)


def one_after_another(family: Family, seeds: Sequence[int], num_steps: int) -> Runs:
    """Each seed in the program that its own run compiles."""
    runs = []
    for seed in seeds:
        state = first_state(family.model, family.optimizer, family.ctx, seed)
        places = jax.tree.map(lambda leaf: leaf.sharding, state)
        call = family.data.compile(family.model, family.optimizer, seed, state, family.ctx, places, jax.device_put)
        runs.append(([state], call))
    return Runs(lambda: _advance(runs, num_steps), lambda: [jax.tree.map(np.asarray, own[0].params) for own, _ in runs])


def _advance(runs: Sequence[tuple[list[TrainState], Callable[..., Any]]], num_steps: int) -> None:
    """So many steps of every run, one run after another; a call ends with its epoch."""
    for carried, call in runs:
        done = 0
        while done < num_steps:
            carried[0], progress = call(carried[0], num_steps - done)
            done += int(progress.steps)
        jax.block_until_ready(carried[0])


def _difference(found: Any, expected: Any) -> float:
    """The largest of any parameter against the largest parameter."""
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    largest = max(float(np.abs(leaf).max()) for _, leaf in pairs)
    return max(float(np.abs(np.asarray(own) - leaf).max()) / largest for own, leaf in pairs)
