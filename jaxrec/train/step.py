"""One compiled call that runs many training steps.

The number of steps is an argument of the compiled loop, so a run compiles once however its steps are divided, and
every step computes the same numbers in whichever call it falls: this is what makes a resumed run bit-exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Model
from jaxrec.nn.negative_sampling import sample_negatives
from jaxrec.nn.permutation import permute_indices
from jaxrec.train.state import TrainState

# Streams of randomness, apart from each other and from the initialisation (jax.random.key(seed) itself).
ORDER, NEGATIVES, MODEL = 1, 2, 3


@flax.struct.dataclass
class PairData:
    """Training pairs on the device. user_ids, item_ids: [E] int32. indptr [U+1], items [P] int32: the positives
    of every user, sorted, from which negatives are told."""

    user_ids: Any  # NumPy on the host, jax.Array on the devices
    item_ids: Any
    indptr: Any
    items: Any


@flax.struct.dataclass
class Progress:
    """What a call reports. sums: loss parts added over its steps. steps: int32 steps done. bad_step: the first step
    with a loss that is not finite, or -1; bad_parts: the loss parts of that step."""

    sums: dict[str, jax.Array]
    steps: jax.Array
    bad_step: jax.Array
    bad_parts: dict[str, jax.Array]


def steps_per_epoch(num_pairs: int, batch_size: int) -> int:
    """Batches that cover every training pair once; the last is padded and masked."""
    return -(-num_pairs // batch_size)


def make_update(
    model: Model, optimizer: optax.GradientTransformation, seed: int | jax.Array
) -> Callable[[TrainState, Batch, Context], tuple[TrainState, dict[str, jax.Array]]]:
    """One step: loss, gradient, optimiser, extra state."""

    def update(state: TrainState, batch: Batch, ctx: Context) -> tuple[TrainState, dict[str, jax.Array]]:
        rng = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), MODEL), state.step)

        def objective(params: Any) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
            output = model.loss(params, state.extra, batch, ctx, rng)
            return output.total, (output.parts, output.extra)

        (total, (parts, extra)), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, extra), {"loss": total, **parts}

    return update


def run_steps(
    update: Callable[[TrainState, Batch, Context], tuple[TrainState, dict[str, jax.Array]]],
    state: TrainState,
    num_steps: jax.Array,
    batch_at: Callable[[jax.Array], Batch],
    ctx: Context,
) -> tuple[TrainState, Progress]:
    """Run num_steps steps, or up to the first loss that is not finite. batch_at takes the index within the call."""
    shapes = jax.eval_shape(lambda: update(state, batch_at(jnp.int32(0)), ctx)[1])
    zeros = {name: jnp.zeros(part.shape, part.dtype) for name, part in shapes.items()}

    def unfinished(carry: tuple[TrainState, Progress]) -> jax.Array:
        return (carry[1].steps < num_steps) & (carry[1].bad_step < 0)

    def body(carry: tuple[TrainState, Progress]) -> tuple[TrainState, Progress]:
        state, progress = carry
        next_state, parts = update(state, batch_at(progress.steps), ctx)
        finite = jnp.all(jnp.stack([jnp.isfinite(part) for part in parts.values()]))
        return next_state, Progress(
            sums={name: progress.sums[name] + part for name, part in parts.items()},
            steps=progress.steps + 1,
            bad_step=jnp.where(finite, -1, state.step),
            bad_parts=parts,
        )

    first = Progress(sums=zeros, steps=jnp.zeros((), jnp.int32), bad_step=jnp.full((), -1, jnp.int32), bad_parts=zeros)
    return lax.while_loop(unfinished, body, (state, first))


def pair_batches(
    data: PairData, batch_size: int, seed: int, num_items: int, max_degree: int | None = None
) -> Callable[[jax.Array], Batch]:
    """The batch of a step, of pairs that live on the device: shuffled anew every epoch, negatives drawn there.

    The order of an epoch is a function of (seed, epoch, position), so no permutation is sorted or kept, and a call may
    begin and end anywhere. max_degree: no user has more positives; it shortens the search for negatives.
    """
    num_pairs = data.user_ids.shape[0]
    per_epoch = steps_per_epoch(num_pairs, batch_size)
    key = jax.random.key(seed)

    def batch_of(step: jax.Array) -> Batch:
        epoch, within = step // per_epoch, step % per_epoch
        positions = within * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
        order_rng = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
        pairs = permute_indices(order_rng, jnp.minimum(positions, num_pairs - 1), num_pairs)
        users = data.user_ids[pairs]
        rng = jax.random.fold_in(jax.random.fold_in(key, NEGATIVES), step)
        return {
            "user_ids": users,
            "item_ids": data.item_ids[pairs],
            "negative_item_ids": sample_negatives(
                rng, users, data.indptr, data.items, num_items, max_degree=max_degree
            ),
            "mask": positions < num_pairs,
        }

    return batch_of


def make_device_loop(
    model: Model, optimizer: optax.GradientTransformation, batch_size: int, seed: int, max_degree: int | None = None
) -> Callable[[TrainState, jax.Array, PairData, Context], tuple[TrainState, Progress]]:
    """Loop over the batches of `pair_batches`."""
    update = make_update(model, optimizer, seed)

    def run(state: TrainState, num_steps: jax.Array, data: PairData, ctx: Context) -> tuple[TrainState, Progress]:
        num_items = ctx.item_counts.shape[0]  # type: ignore[union-attr]
        batch_of = pair_batches(data, batch_size, seed, num_items, max_degree)
        first_step = state.step
        return run_steps(update, state, num_steps, lambda index: batch_of(first_step + index), ctx)

    return run


def make_block_loop(
    model: Model,
    optimizer: optax.GradientTransformation,
    seed: int,
    arrange: Callable[[Batch, Context], Batch] = lambda batch, ctx: batch,
) -> Callable[[TrainState, jax.Array, Batch, Context], tuple[TrainState, Progress]]:
    """Loop over one streamed block: every array holds [K, ...], of which the first num_steps batches are used.

    arrange: shares a batch out among the devices.
    """
    update = make_update(model, optimizer, seed)

    def run(state: TrainState, num_steps: jax.Array, block: Batch, ctx: Context) -> tuple[TrainState, Progress]:
        def batch_at(index: jax.Array) -> Batch:
            batch = jax.tree.map(lambda values: lax.dynamic_index_in_dim(values, index, keepdims=False), block)
            return arrange(batch, ctx)

        return run_steps(update, state, num_steps, batch_at, ctx)

    return run
