"""Data parallelism as it was written before meshes: `jax.pmap`, every device a whole model and its part of a batch.

A peer in benchmarks and a second opinion in tests (docs/decisions/0002); no experiment runs it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Model
from jaxrec.train.state import TrainState

_AXIS = "batch"


def make_pmap_loop(model: Model, optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    """The mapped function (state, block, ctx) -> (state, losses [n, K]) of K steps.

    Every device computes its part of each batch. state: one copy a device, [n, ...] (`on_every_device`); block:
    [n, K, B / n, ...] (`shared_out`). A batch's loss is the mean of its parts', so every row of it must be real. The
    state is donated.
    """

    def step(state: TrainState, batch: Batch, ctx: Context) -> tuple[TrainState, jax.Array]:
        def objective(params: Any) -> tuple[jax.Array, Any]:
            output = model.loss(params, state.extra, batch, ctx, jax.random.key(0))
            return output.total, output.extra

        (loss, extra), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        gradient = jax.lax.pmean(gradient, _AXIS)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, extra), jax.lax.pmean(loss, _AXIS)

    def run(state: TrainState, block: Batch, ctx: Context) -> tuple[TrainState, jax.Array]:
        return jax.lax.scan(lambda carried, batch: step(carried, batch, ctx), state, block)

    return jax.pmap(run, axis_name=_AXIS, in_axes=(0, 0, None), donate_argnums=0)


def on_every_device(tree: Any, num_devices: int) -> Any:
    """The tree with a leading axis of copies, one for each device."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_devices, *jnp.shape(leaf))), tree)


def shared_out(block: Batch, num_devices: int) -> Batch:
    """Batches [K, B, ...] as [n, K, B / n, ...]."""
    return {
        name: jnp.moveaxis(values.reshape(values.shape[0], num_devices, -1, *values.shape[2:]), 1, 0)
        for name, values in block.items()
    }
