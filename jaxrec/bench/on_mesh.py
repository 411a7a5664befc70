"""A model trained on some of the visible devices, by the library's own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jaxrec.models.base import Context, Model
from jaxrec.train.input import TrainingInput
from jaxrec.train.mesh import PartitionRules, replicate
from jaxrec.train.state import abstract_state, first_state

COUNTS = (1, 2, 4, 8)
Steps = Callable[[int], float]


def training(
    model: Model, data: TrainingInput, ctx: Context, rules: PartitionRules, mesh: Mesh | None, *, told: bool = True
) -> Steps:
    """A function that goes on by a number of steps, done when it returns: their mean loss.

    ctx: its arrays, on the host or a device. told: whether the model knows of the mesh; else the compiler alone shares
    out what the rules leave open.
    """
    optimizer = optax.adam(1e-3)
    ctx = replicate(ctx, mesh).replace(mesh=mesh if told else None)
    abstract = abstract_state(model, optimizer, ctx, 0, rules, mesh)
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    init = jax.jit(first_state, static_argnums=(0, 1, 3), out_shardings=places)
    held: list[Any] = [init(model, optimizer, ctx, 0)]
    call = data.compile(model, optimizer, 0, held[0], ctx, places, lambda tree: replicate(tree, mesh))

    def run(steps: int) -> float:
        done, total = 0, 0.0
        while done < steps:  # a call may end with its epoch
            held[0], progress = call(held[0], steps - done)
            done += int(progress.steps)
            total += float(progress.sums["loss"])
        return total / steps

    return run


def devices(count: int) -> str:
    """As variants are named."""
    return f"{count} device" if count == 1 else f"{count} devices"


def relative(losses: list[float]) -> float:
    """How far the losses lie apart, against the first."""
    return max(abs(loss - losses[0]) for loss in losses) / abs(losses[0])
