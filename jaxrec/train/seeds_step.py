"""One compiled call that runs the steps of several seeds side by side.

The state holds a seed's arrays at each place of a leading axis [S, ...] and one step that all share. A step is the step
of one seed under `jax.vmap`: products with the graph fold the seeds into its features (jaxrec.nn.batched_products),
everything else has one axis more. Batches are those of each seed by itself, so a seed learns what it learns alone, up
to the order of float32 sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Model
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import Progress, make_update, run_steps


class SeedsInput(Protocol):
    """A training input on the devices, which gives the batches of any seed (DeviceInput, SequenceInput)."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every training example once."""
        ...

    def examples(self, step: int, steps: int) -> int:
        """Training examples in the given steps of one epoch, of one seed."""
        ...

    @property
    def arrays(self) -> Any:
        """What `batches_from` reads, on the host."""
        ...

    def batches_from(self, arrays: Any, seed: int, first_step: jax.Array, ctx: Context) -> Callable[[jax.Array], Batch]:
        """The batches of the steps from first_step on, to the end of its epoch."""
        ...


Call = Callable[[TrainState, jax.Array, jax.Array, Any, Context], tuple[TrainState, Progress]]


def make_seeds_loop(
    model: Model, optimizer: optax.GradientTransformation, data: SeedsInput, seeds: Sequence[int]
) -> Call:
    """Loop (state, num_steps, active [S] bool, arrays, ctx) -> (state, progress), at most to the end of the epoch.

    progress has a number a seed [S] for each part of the loss. A seed that is not active goes on too, but its losses
    count as 0 and stop nobody.
    """
    keys = np.asarray(seeds, np.uint32)

    def run(
        state: TrainState, num_steps: jax.Array, active: jax.Array, arrays: Any, ctx: Context
    ) -> tuple[TrainState, Progress]:
        batches = [data.batches_from(arrays, seed, state.step, ctx) for seed in seeds]

        def batch_at(index: jax.Array) -> Batch:
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(batch(index) for batch in batches))

        def update(state: TrainState, batch: Batch, ctx: Context) -> tuple[TrainState, dict[str, jax.Array]]:
            def of_seed(seed: jax.Array, own: tuple[Any, Any, Any], batch: Batch) -> Any:
                after, parts = make_update(model, optimizer, seed)(TrainState(state.step, *own), batch, ctx)
                return (after.params, after.opt_state, after.extra), parts

            own, parts = jax.vmap(of_seed)(jnp.asarray(keys), (state.params, state.opt_state, state.extra), batch)
            return TrainState(state.step + 1, *own), jax.tree.map(lambda part: jnp.where(active, part, 0), parts)

        left = data.steps_per_epoch - state.step % data.steps_per_epoch
        return run_steps(update, state, jnp.minimum(num_steps, left), batch_at, ctx)

    return run


def stack_states(states: Sequence[TrainState]) -> TrainState:
    """The states of the seeds, all after the same step, as one."""
    own = [(state.params, state.opt_state, state.extra) for state in states]
    return TrainState(states[0].step, *jax.tree.map(lambda *leaves: jnp.stack(leaves), *own))


def state_of(state: TrainState, index: jax.Array) -> TrainState:
    """The state of the seed at one place."""
    own = state.params, state.opt_state, state.extra
    return TrainState(state.step, *jax.tree.map(lambda leaf: leaf[index], own))


def stacked_shardings(shardings: TrainState) -> TrainState:
    """The shardings of the state of several seeds: each lies as one seed's by itself."""

    def stacked(place: Any) -> Any:
        return (
            NamedSharding(place.mesh, PartitionSpec(None, *place.spec)) if isinstance(place, NamedSharding) else place
        )

    own = jax.tree.map(stacked, (shardings.params, shardings.opt_state, shardings.extra))
    return TrainState(shardings.step, *own)


def first_states(
    model: Model, optimizer: optax.GradientTransformation, ctx: Context, seeds: Sequence[int], shardings: TrainState
) -> list[TrainState]:
    """The state of each seed before the first step, compiled once."""
    init = jax.jit(lambda seed, ctx: first_state(model, optimizer, ctx, seed), out_shardings=shardings)
    return [init(np.uint32(seed), ctx) for seed in seeds]
