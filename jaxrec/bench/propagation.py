"""LightGCN's propagation alone against the bandwidth, and a step against segment_sum: the same bits every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import LightGCNWorkload, first_embeddings, interaction_pairs, lightgcn_workload
from jaxrec.models.base import Context
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.nn.graph import Graph, build_graph
from jaxrec.nn.propagation import propagate
from jaxrec.train.input import DeviceInput
from jaxrec.train.state import first_state

DESCRIPTION = (
    "LightGCN's layers forward and back (Gowalla's size), and a step, against segment_sum; the same bits again"
)
OURS, PLAIN = "jaxrec propagation", "segment_sum propagation"
STEP, PLAIN_STEP = "jaxrec step", "segment_sum step"
BACKENDS = {OURS: "auto", PLAIN: "jraph", STEP: "auto", PLAIN_STEP: "jraph"}
TURNS, STEPS_PER_CALL = {"full": 20, "small": 2}, {"full": 24, "small": 3}
TOLERANCE = 1e-4
"""Of the tables behind a call of steps, against their largest: sums in another order, and Adam divides by them."""


def run(settings: Settings) -> dict:
    """Seconds a propagation forward and back, and seconds a step; results of both forms compared, and of two runs."""
    workload = lightgcn_workload(settings.scale)
    turns, steps = TURNS[settings.scale], STEPS_PER_CALL[settings.scale]
    users, items = interaction_pairs(workload)
    graphs: dict[str, Graph] = {
        name: jax.device_put(
            build_graph(users, items, workload.num_users, workload.num_items, backend=backend)  # type: ignore[arg-type]
        )
        for name, backend in (("auto", "auto"), ("jraph", "jraph"))
    }
    loops = {name: there_and_back(workload, graphs[BACKENDS[name]], turns) for name in (OURS, PLAIN)}
    trained = {name: training(workload, graphs[BACKENDS[name]], (users, items), steps) for name in (STEP, PLAIN_STEP)}
    results = {name: loop[0]() for name, loop in loops.items()}
    tables = {name: [one() for _ in range(2)] for name, one in trained.items()}
    calls: dict[str, Callable[[], Any]] = {name: loop[0] for name, loop in loops.items()} | trained
    per = {OURS: turns, PLAIN: turns, STEP: steps, PLAIN_STEP: steps}
    times = interleave(calls, settings, per=per)
    return {
        "unit": "seconds a propagation forward and back; seconds a step",
        "turns_per_call": turns,
        "steps_per_call": steps,
        "variants": times,
        "ratios": ratios({name: times[name] for name in (OURS, PLAIN)}, OURS)
        | ratios({name: times[name] for name in (STEP, PLAIN_STEP)}, STEP),
        "programs": {name: loop[1] for name, loop in loops.items()},
        "work": work_entry({OURS: gathered(workload)}),
        "same_bits_again": {name: bool((first == second).all()) for name, (first, second) in tables.items()},
        "checks": {
            "propagations equal": _close(results[OURS], results[PLAIN], 1e-5),
            "steps equal": _close(tables[STEP][0], tables[PLAIN_STEP][0], TOLERANCE),
            "the same bits again": bool((tables[STEP][0] == tables[STEP][1]).all()),
        },
    }


def gathered(workload: LightGCNWorkload) -> Work:
    """What all layers forward and back read and write where every neighbour's row is fetched: one row an edge.

    More than `step_work` counts, which moves each table once. A cache that holds the tables gives rows faster than
    memory does, so that a share above 1 is possible.
    """
    products, edges = 2 * workload.num_layers, 2 * workload.num_pairs
    nodes = workload.num_users + workload.num_items
    moved = edges * (4.0 * workload.dim + 8.0) + 4.0 * nodes * workload.dim
    return Work(products * 2.0 * edges * workload.dim, products * moved)


def there_and_back(
    workload: LightGCNWorkload, graph: Graph, turns: int
) -> tuple[Callable[[], np.ndarray], dict[str, Any]]:
    """A call of so many turns, each the layers of the last turn's result and their derivative; what it costs."""

    def turn(nodes: jax.Array, graph: Graph) -> jax.Array:
        combined, back = jax.vjp(lambda nodes: propagate(nodes, graph, num_layers=workload.num_layers), nodes)
        return back(combined)[0]

    def turned(nodes: jax.Array, graph: Graph) -> jax.Array:
        return jax.lax.scan(lambda nodes, _: (turn(nodes, graph), None), nodes, length=turns)[0]

    nodes = jnp.asarray(first_embeddings(workload))
    compiled, program = compile_timed(jax.jit(turned), nodes, graph)
    return lambda: jax.block_until_ready(compiled(nodes, graph)), program


def training(
    workload: LightGCNWorkload, graph: Graph, pairs: tuple[np.ndarray, np.ndarray], steps: int
) -> Callable[[], np.ndarray]:
    """A call that trains from the first state on by so many steps of the library's loop: the table, on the device."""
    model = LightGCN(
        LightGCNConfig(dim=workload.dim, num_layers=workload.num_layers), workload.num_users, workload.num_items
    )
    counts = jnp.bincount(jnp.asarray(pairs[1]), length=workload.num_items).astype(jnp.int32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs[0], minlength=workload.num_users))]).astype(np.int32)
    data, ctx = DeviceInput(pairs, (indptr, pairs[1]), workload.batch_size), Context(graph=graph, item_counts=counts)
    optimizer = optax.adam(workload.learning_rate)
    first = first_state(model, optimizer, ctx, 0)
    places = jax.tree.map(lambda leaf: leaf.sharding, first)
    call = data.compile(model, optimizer, 0, first, ctx, places, jax.device_put)

    def train() -> Any:
        state, _ = call(jax.tree.map(jnp.copy, first), steps)  # which the call takes over
        return jax.block_until_ready(state.params["nodes"]["embedding"])

    return train


def _close(left: Any, right: Any, tolerance: float) -> bool:
    left, right = np.asarray(left), np.asarray(right)
    return bool(np.abs(left - right).max() <= tolerance * np.abs(right).max())
