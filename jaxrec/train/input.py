"""Where a training step gets its pairs: from the device, or from blocks streamed by the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
import optax

from jaxrec.data.batch import Batch
from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Model
from jaxrec.train.config import TrainConfig
from jaxrec.train.sequence_input import SequenceInput, over_devices
from jaxrec.train.sequence_source import count_targets, sequence_blocks, sequence_source
from jaxrec.train.state import TrainState
from jaxrec.train.step import (
    PairData,
    Progress,
    make_block_loop,
    make_device_loop,
    pair_batches,
    steps_per_epoch,
)

if TYPE_CHECKING:
    from jaxrec.data.blocks import EpochBlocks

Call = Callable[[TrainState, int], tuple[TrainState, Progress]]
Place = Callable[[Any], Any]


class TrainingInput(Protocol):
    """What the loop knows of its input. Every batch is a function of (seed, step)."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every training pair once."""
        ...

    def examples(self, step: int, steps: int) -> int:
        """Training pairs in the given steps of one epoch, padding not counted."""
        ...

    def compile(
        self,
        model: Model,
        optimizer: optax.GradientTransformation,
        seed: int,
        state: TrainState,
        ctx: Context,
        state_shardings: Any,
        place: Place,
    ) -> Call:
        """A compiled call (state, number of steps) -> (state, progress); the state is donated."""
        ...


def _examples(num_pairs: int, batch_size: int, step: int, steps: int) -> int:
    within = step % steps_per_epoch(num_pairs, batch_size)
    return min((within + steps) * batch_size, num_pairs) - within * batch_size


def _num_steps(steps: int, place: Place) -> jax.Array:
    return place(np.asarray(steps, np.int32))


class DeviceInput:
    """Pairs and positives live on the device and are sampled there: no host round trip."""

    def __init__(self, pairs: tuple[np.ndarray, np.ndarray], positives: tuple[np.ndarray, np.ndarray], batch_size: int):
        self._pairs, self._positives, self._batch_size = pairs, positives, batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every training pair once."""
        return steps_per_epoch(len(self._pairs[0]), self._batch_size)

    def examples(self, step: int, steps: int) -> int:
        """Training pairs in the given steps of one epoch."""
        return _examples(len(self._pairs[0]), self._batch_size, step, steps)

    @property
    def arrays(self) -> PairData:
        """What `batches_from` reads, on the host."""
        return PairData(*self._pairs, *self._positives)

    @property
    def _max_degree(self) -> int:
        return int(np.diff(self._positives[0]).max())

    def batches_from(
        self, arrays: PairData, seed: int, first_step: jax.Array, ctx: Context
    ) -> Callable[[jax.Array], Batch]:
        """The batches of the steps from first_step on; arrays: this input's, on the devices."""
        num_items = ctx.item_counts.shape[0]  # type: ignore[union-attr]
        batch_of = pair_batches(arrays, self._batch_size, seed, num_items, self._max_degree)
        return lambda index: batch_of(first_step + index)

    def compile(self, model, optimizer, seed, state, ctx, state_shardings, place) -> Call:
        """See TrainingInput."""
        data = place(self.arrays)
        run = make_device_loop(model, optimizer, self._batch_size, seed, self._max_degree)
        jitted = jax.jit(run, donate_argnums=0, out_shardings=(state_shardings, None))
        compiled = jitted.lower(state, _num_steps(1, place), data, ctx).compile()
        return lambda state, steps: compiled(state, _num_steps(steps, place), data, ctx)


class BlockInput:
    """Pairs stay on the host (or on disk) and arrive in blocks of batches, negatives drawn on the host."""

    def __init__(
        self,
        blocks: EpochBlocks,
        num_pairs: int,
        batch_size: int,
        arrange: Callable[[Batch, Context], Batch] = lambda batch, ctx: batch,
    ):
        self._blocks, self._num_pairs, self._batch_size, self._arrange = blocks, num_pairs, batch_size, arrange

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every training pair once."""
        return steps_per_epoch(self._num_pairs, self._batch_size)

    def examples(self, step: int, steps: int) -> int:
        """Training pairs in the given steps of one epoch."""
        return _examples(self._num_pairs, self._batch_size, step, steps)

    def compile(self, model, optimizer, seed, state, ctx, state_shardings, place) -> Call:
        """See TrainingInput."""
        run = make_block_loop(model, optimizer, seed, self._arrange)
        jitted = jax.jit(run, donate_argnums=0, out_shardings=(state_shardings, None))
        stream = _BlockStream(self._blocks, int(state.step), place)
        compiled = jitted.lower(state, _num_steps(1, place), stream.peek(), ctx).compile()

        def call(state: TrainState, steps: int) -> tuple[TrainState, Progress]:
            block, available = stream.take(steps)
            return compiled(state, _num_steps(available, place), block, ctx)

        return call


class _BlockStream:
    """Hands out the batches of streamed blocks in order, never more than one block at a time."""

    def __init__(self, blocks: EpochBlocks, first_step: int, place: Place) -> None:
        self._iterator: Iterator[dict[str, Any]] = blocks.iterate(first_step)
        self._place = place
        self._block: dict[str, Any] | None = None
        self._used = self._steps = 0

    def _load(self) -> dict[str, Any]:
        if self._block is None or self._used == self._steps:
            block = dict(next(self._iterator))
            self._steps, self._used = int(block.pop("num_steps")), 0
            block.pop("first_step")
            self._block = block
        return self._block

    def peek(self) -> Batch:
        """A block with the shapes of every other."""
        return self._place(self._load())

    def take(self, steps: int) -> tuple[Batch, int]:
        """A block whose first batches are the next ones, and how many of at most `steps` it holds."""
        block = self._load()
        count = min(steps, self._steps - self._used)
        moved = jax.tree.map(lambda values: np.roll(values, -self._used, axis=0), block)
        self._used += count
        return self._place(moved), count


def make_input(
    dataset: Dataset, config: TrainConfig, seed: int, notice: Callable[[str], None], model_config: Any = None
) -> TrainingInput:
    """The input that config.input asks for; `auto` streams what exceeds the device budget, and reads shards.

    model_config.input: what a batch holds, "pairs" where a model does not say.
    """
    if config.input == "shards" or (config.input == "auto" and dataset.shards is not None):
        from jaxrec.train.shard_input import make_shard_input  # which stands on this module

        return make_shard_input(dataset, config, seed, notice, model_config)
    if getattr(model_config, "input", "pairs") != "pairs":
        source, shape = sequence_source(dataset, model_config, config.batch_size, notice)
        megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(source)) / 2**20
        if config.input == "blocks" or (config.input == "auto" and megabytes > config.device_budget_mb):
            num_targets = count_targets(source)
            block_steps = max(1, min(64, steps_per_epoch(num_targets, config.batch_size)))
            blocks = sequence_blocks(source, shape, dataset.num_items, block_steps, seed)
            return BlockInput(blocks, num_targets, config.batch_size, over_devices)
        return SequenceInput(source, shape)
    train = dataset.train
    positives = positives_csr(train, dataset.num_users)
    full = np.diff(positives[0]) == dataset.num_items
    rows = np.flatnonzero(~full[train.user_ids])
    if len(rows) < len(train):
        notice(
            f"{int(full.sum())} users have every item of the catalogue: no negative exists, so they are not trained on"
        )
    if not len(rows):
        raise UserError("data: every user has every item of the catalogue, so there is nothing to rank")
    pairs = (train.user_ids[rows], train.item_ids[rows])
    megabytes = sum(column.nbytes for column in (*pairs, *positives)) / 2**20
    if config.input == "blocks" or (config.input == "auto" and megabytes > config.device_budget_mb):
        from jaxrec.data.blocks import TripleBlocks  # Grain is slow to import, and most data fit the device

        block_steps = max(1, min(64, steps_per_epoch(len(rows), config.batch_size)))
        blocks = TripleBlocks(*pairs, *positives, dataset.num_items, config.batch_size, block_steps, seed)
        return BlockInput(blocks, len(rows), config.batch_size)
    return DeviceInput(pairs, positives, config.batch_size)
