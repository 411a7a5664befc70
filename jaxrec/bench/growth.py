"""How the cost of a training step grows as users, items, edges, sequences or devices double, with fitted exponents.

Operations and bytes are the compiler's count, memory is what it sets aside, so they are exact; seconds are measured at
full scale alone. Graphs are in the portable form `ell`, which is gathers and sums: of a library's product the compiler
counts nothing. The exponent of a cost is the slope of its logarithm over that of the size, by least squares: 1 is
linear, 0 is constant. What an axis does not name stays as it is.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrec.bench.settings import Settings
from jaxrec.bench.simulated_devices import ask_on_devices
from jaxrec.bench.synthetic import LightGCNWorkload

DESCRIPTION = "cost of a step as users, items, edges, sequence length and devices grow by 2x steps, with exponents"
COSTS = ("counted_operations", "counted_bytes", "temporary_bytes", "argument_bytes", "collective_bytes", "seconds")
BASES = {
    "full": LightGCNWorkload(num_users=16_384, num_items=16_384, num_pairs=400_000),
    "small": LightGCNWorkload(num_users=256, num_items=256, num_pairs=4_000, dim=8, num_layers=2, batch_size=32),
}
DOUBLINGS = {"full": 4, "small": 1}
LENGTHS = {"full": (25, 50, 100, 200, 400), "small": (8, 16)}
DEVICES = {"full": (1, 2, 4, 8), "small": (1, 2, 4)}
OF_GRAPH = {"users": "num_users", "items": "num_items", "edges": "num_pairs"}
AXES = (*OF_GRAPH, "length", "devices")
EXACT = ("counted_operations", "counted_bytes", "temporary_bytes")
LINEAR = 1.3
"""The exponent up to which a cost is called linear at full scale. Rows are padded to whole chunks, and the sums of long
rows go through one level of chunks more each time their degree grows eightfold; small graphs are all such steps."""


def run(settings: Settings) -> dict:
    """Every curve."""
    return grow(settings, AXES)


def grow(settings: Settings, axes: Sequence[str]) -> dict[str, Any]:
    """The entry of some axes: for each its sizes, the costs there and their exponents."""
    points: dict[str, Mapping[float, dict[str, Any]]] = {}
    for axis in axes:
        sys.stderr.write(f"  {axis}\n")
        if axis == "length":
            points[axis] = {length: sasrec_point(length, settings) for length in LENGTHS[settings.scale]}
        elif axis == "devices":
            asked = ask_on_devices(max(DEVICES[settings.scale]), "jaxrec.bench.growth", settings.scale)
            points[axis] = {int(count): point for count, point in asked.items()}
        else:
            base, field = BASES[settings.scale], OF_GRAPH[axis]
            sizes = [getattr(base, field) << doubling for doubling in range(DOUBLINGS[settings.scale] + 1)]
            points[axis] = {
                size: lightgcn_point(dataclasses.replace(base, **{field: size}), settings) for size in sizes
            }
    curves = {axis: curve(found) for axis, found in points.items()}
    return {"unit": "", "variants": {}, "ratios": {}, "curves": curves, "checks": _checks(curves, settings.scale)}


def curve(points: Mapping[float, Mapping[str, Any]]) -> dict[str, Any]:
    """Sizes, each cost at every size, and the exponents of the costs that are known."""
    sizes = sorted(points)
    costs = {cost: [points[size].get(cost) for size in sizes] for cost in COSTS}
    known = {cost: values for cost, values in costs.items() if any(value is not None for value in values)}
    exponents = {cost: exponent(sizes, values) for cost, values in known.items()}
    return {"sizes": sizes, "costs": known, "exponents": exponents}


def exponent(sizes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """Slope of log(value) over log(size) by least squares, over the values above 0; None for fewer than two."""
    logs = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True) if value]
    if len(logs) < 2:
        return None
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def lightgcn_point(workload: LightGCNWorkload, settings: Settings, num_devices: int = 1) -> dict[str, Any]:
    """Costs of a LightGCN step (forward, backward, Adam), its features over so many devices."""
    import optax

    from jaxrec.bench.synthetic import interaction_pairs, triple_batches
    from jaxrec.models.base import Context
    from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
    from jaxrec.nn.graph import build_graph
    from jaxrec.train.config import DevicesConfig
    from jaxrec.train.mesh import make_mesh, replicate
    from jaxrec.train.state import abstract_state

    users, items = interaction_pairs(workload)
    model = LightGCN(
        LightGCNConfig(dim=workload.dim, num_layers=workload.num_layers), workload.num_users, workload.num_items
    )
    mesh = make_mesh(DevicesConfig(count=num_devices), "model")
    graph = build_graph(users, items, workload.num_users, workload.num_items, backend="ell")
    ids = dict(
        zip(("user_ids", "item_ids", "negative_item_ids"), triple_batches(workload, users, items, 1)[0], strict=True)
    )
    batch = ids | {"mask": ids["user_ids"] >= 0}
    optimizer = optax.adam(workload.learning_rate)
    ctx, batch = replicate((Context(graph=graph, mesh=mesh), batch), mesh)
    abstract = abstract_state(model, optimizer, ctx, 0, model.config.partition_rules, mesh)
    return _point(model, optimizer, abstract, batch, ctx, settings)


def sasrec_point(length: int, settings: Settings) -> dict[str, Any]:
    """Costs of a SASRec step over histories of a length, the number of targets being the same at every length."""
    import jax.numpy as jnp
    import numpy as np
    import optax

    from jaxrec.bench.sasrec_step import flat_sequences
    from jaxrec.data.sequence_rows import stream_rows
    from jaxrec.models.base import Context
    from jaxrec.models.sasrec import SASRec, SASRecConfig
    from jaxrec.train.mesh import replicate
    from jaxrec.train.sequence_source import SequenceShape
    from jaxrec.train.state import abstract_state

    dim, num_items = (64, 12_101) if settings.scale == "full" else (8, 50)
    shape = SequenceShape(4 * max(LENGTHS[settings.scale]), length)
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, num_items, length + 1) for _ in range(-(-shape.batch_size // length))]
    ordered = flat_sequences(sequences).ordered(np.arange(len(sequences)), np)
    rows = stream_rows(ordered, 0, shape.num_rows, shape.width, shape.context, length, np)
    model = SASRec(SASRecConfig(dim=dim, max_length=length, dropout=0.0), len(sequences), num_items)
    optimizer = optax.adam(1e-3)
    batch, ctx = replicate((rows, Context(item_counts=jnp.ones(num_items, jnp.int32))), None)
    abstract = abstract_state(model, optimizer, ctx, 0, (), None)
    return _point(model, optimizer, abstract, batch, ctx, settings)


def _point(model: Any, optimizer: Any, abstract: Any, batch: Any, ctx: Any, settings: Settings) -> dict[str, Any]:
    """Costs of one step; abstract: the state's shapes and where it lies."""
    import jax

    from jaxrec.bench.program import compile_timed
    from jaxrec.train.state import first_state
    from jaxrec.train.step import make_update

    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    step = jax.jit(make_update(model, optimizer, 0), donate_argnums=0, out_shardings=(places, None))
    compiled, costs = compile_timed(step, abstract, batch, ctx)
    if settings.scale == "full":
        first = jax.jit(lambda ctx: first_state(model, optimizer, ctx, 0), out_shardings=places)
        state, seconds = first(ctx), []
        for repetition in range(settings.repeats + 1):
            start = time.perf_counter()
            state, _ = jax.block_until_ready(compiled(state, batch, ctx))
            if repetition:
                seconds.append(time.perf_counter() - start)
        costs["seconds"] = statistics.median(seconds)
    return {cost: costs.get(cost) for cost in COSTS}


def _checks(curves: Mapping[str, Mapping[str, Any]], scale: str) -> dict[str, bool]:
    """What the design promises: nothing exact grows faster than its axis, and devices add nothing to what is said."""
    checks = {}
    for axis, found in curves.items():
        if axis == "devices":
            said = zip(found["sizes"], found["costs"]["collective_bytes"], strict=True)
            checks["devices: bytes said do not grow"] = len({value for size, value in said if size > 1}) == 1
        elif scale == "full":
            slopes = [found["exponents"].get(cost) for cost in EXACT]
            checks[f"{axis}: no more than linear"] = all(slope is None or slope <= LINEAR for slope in slopes)
    return checks


def main() -> None:
    """In the process that sees the devices: costs of one device by their number. What is timed is no device's time."""
    scale: Any = sys.argv[1]
    settings, workload = Settings(scale="small"), BASES[scale]
    points = {count: lightgcn_point(workload, settings, count) for count in DEVICES[scale]}
    sys.stdout.write(json.dumps(points) + "\n")


if __name__ == "__main__":
    main()
