"""Training batches of sequences, made on the device: a stream of all positions, or one target each.

Every batch is a function of (seed, step). The order of an epoch is computed once a call, so a call stays within one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxrec.data.batch import Batch
from jaxrec.data.sequence_rows import OrderedSequences, stream_rows, target_rows
from jaxrec.data.training_targets import TrainingTargets
from jaxrec.models.base import Context, Model
from jaxrec.nn.negative_sampling import sample_negatives
from jaxrec.nn.permutation import permute_indices
from jaxrec.train.sequence_source import Positives, SequenceShape, StreamSource, TargetSource, count_targets
from jaxrec.train.state import TrainState
from jaxrec.train.step import NEGATIVES, ORDER, Progress, make_update, run_steps, steps_per_epoch

BatchAt = Callable[[jax.Array], Batch]


def stream_batches(
    source: StreamSource, shape: SequenceShape, seed: int, epoch: jax.Array, num_items: int, num_targets: int
) -> BatchAt:
    """The batches of one epoch by the step within it; the epoch's order is computed here, once."""
    num_sequences = source.sequences.counts.shape[0]
    rng = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), ORDER), epoch)
    order = permute_indices(rng, jnp.arange(num_sequences, dtype=jnp.int32), num_sequences)
    ordered: OrderedSequences = source.sequences.ordered(order, jnp)
    per_epoch = steps_per_epoch(num_targets, shape.batch_size)

    def batch_at(within: jax.Array) -> Batch:
        batch = stream_rows(
            ordered,
            within * shape.batch_size,
            shape.num_rows,
            shape.width,
            shape.context,
            shape.max_length,
            jnp,
        )
        users = batch["user_ids"][:, shape.context :]
        return _with_negatives(batch, users, source.positives, shape, seed, epoch * per_epoch + within, num_items)

    return batch_at


def target_batches(source: TargetSource, shape: SequenceShape, seed: int, epoch: jax.Array, num_items: int) -> BatchAt:
    """The batches of one epoch by the step within it: every target once, each with its histories."""
    num_targets = source.user_ids.shape[0]
    rng = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), ORDER), epoch)
    per_epoch = steps_per_epoch(num_targets, shape.batch_size)
    targets = TrainingTargets(source.user_ids, source.item_ids, source.starts, source.ends, source.events)

    def batch_at(within: jax.Array) -> Batch:
        places = within * shape.batch_size + jnp.arange(shape.batch_size, dtype=jnp.int32)
        chosen = permute_indices(rng, jnp.minimum(places, num_targets - 1), num_targets)
        batch = target_rows(targets, chosen, places < num_targets, shape.max_length, jnp)
        users, step = batch["user_ids"], epoch * per_epoch + within
        return _with_negatives(batch, users, source.positives, shape, seed, step, num_items)

    return batch_at


def _with_negatives(
    batch: Batch,
    users: jax.Array,
    positives: Positives | None,
    shape: SequenceShape,
    seed: int,
    step: jax.Array,
    num_items: int,
) -> Batch:
    """The batch with negative_item_ids [..., n], uniform among what each target's user never had in training."""
    if positives is None:
        return batch
    rng = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), NEGATIVES), step)
    users = jnp.broadcast_to(users[..., None], (*users.shape, shape.num_negatives))
    return batch | {"negative_item_ids": sample_negatives(rng, users, positives.indptr, positives.items, num_items)}


class SequenceInput:
    """Sequences that live on the device; source: StreamSource or TargetSource of NumPy arrays."""

    def __init__(self, source: StreamSource | TargetSource, shape: SequenceShape) -> None:
        self._source, self._shape, self._num_targets = source, shape, count_targets(source)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every target once."""
        return steps_per_epoch(self._num_targets, self._shape.batch_size)

    def examples(self, step: int, steps: int) -> int:
        """Targets in the given steps of one epoch, padding not counted."""
        size, first = self._shape.batch_size, step % self.steps_per_epoch
        return min((first + steps) * size, self._num_targets) - first * size

    def batches(self, source: StreamSource | TargetSource, seed: int, epoch: jax.Array, num_items: int) -> BatchAt:
        """The batches of one epoch; source: this input's, on the devices."""
        if isinstance(source, StreamSource):
            return stream_batches(source, self._shape, seed, epoch, num_items, self._num_targets)
        return target_batches(source, self._shape, seed, epoch, num_items)

    @property
    def arrays(self) -> StreamSource | TargetSource:
        """What `batches_from` reads, on the host."""
        return self._source

    def batches_from(
        self, arrays: StreamSource | TargetSource, seed: int, first_step: jax.Array, ctx: Context
    ) -> BatchAt:
        """The batches of the steps from first_step to the end of its epoch; arrays: this input's, on the devices."""
        epoch, first = first_step // self.steps_per_epoch, first_step % self.steps_per_epoch
        num_items = ctx.item_counts.shape[0]  # type: ignore[union-attr]
        batch_in_epoch = self.batches(arrays, seed, epoch, num_items)
        return lambda index: over_devices(batch_in_epoch(first + index), ctx)

    def compile(
        self,
        model: Model,
        optimizer: optax.GradientTransformation,
        seed: int,
        state: TrainState,
        ctx: Context,
        state_shardings: Any,
        place: Callable[[Any], Any],
    ) -> Callable[[TrainState, int], tuple[TrainState, Progress]]:
        """See jaxrec.train.input.TrainingInput. A call ends with its epoch."""
        update, per_epoch = make_update(model, optimizer, seed), self.steps_per_epoch

        def run(state: TrainState, num_steps: jax.Array, source: Any, ctx: Context) -> tuple[TrainState, Progress]:
            batch_at = self.batches_from(source, seed, state.step, ctx)
            num_steps = jnp.minimum(num_steps, per_epoch - state.step % per_epoch)
            return run_steps(update, state, num_steps, batch_at, ctx)

        source = place(self._source)
        jitted = jax.jit(run, donate_argnums=0, out_shardings=(state_shardings, None))
        compiled = jitted.lower(state, place(np.asarray(1, np.int32)), source, ctx).compile()
        return lambda state, steps: compiled(state, place(np.asarray(steps, np.int32)), source, ctx)


def over_devices(batch: Batch, ctx: Context) -> Batch:
    """The batch with its rows shared over the mesh's "data" axis, where they divide; else whole on every device."""
    mesh = ctx.mesh
    if mesh is None or mesh.shape["data"] == 1:
        return batch
    devices = mesh.shape["data"]

    def shared(values: jax.Array) -> jax.Array:
        axis = "data" if values.shape[0] % devices == 0 else None
        return jax.lax.with_sharding_constraint(values, NamedSharding(mesh, PartitionSpec(axis)))

    return jax.tree.map(shared, batch)
