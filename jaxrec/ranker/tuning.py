"""Tuning of a language model on examples: epochs of packed steps, the best epoch kept, resumed to the last bit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.packed_examples import Example, PackShape, pack_shape, packed_batch
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.tuning import Recipe, Trained, TuningState, init_state, loss_sum, tuning_step
from jaxrec.models.sealr_config import TuningConfig
from jaxrec.ranker.tuned import Untuned
from jaxrec.train.checkpoint import Checkpoints, DamagedCheckpointError
from jaxrec.train.config import DevicesConfig, OptimizerConfig
from jaxrec.train.mesh import make_mesh
from jaxrec.train.optimizer import make_optimizer

_SAVE_SECONDS = 60.0
"""What a killed run loses at most."""
_TELL_SECONDS = 30.0
_WARM_UP = 10
"""One of so many steps is of the warm-up."""

Notice = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Work:
    """What tuning takes. tokens: of all examples, prompts and answers; steps: of all epochs; shape: of each step."""

    examples: int
    tokens: int
    steps: int
    shape: PackShape


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """trained: of the best epoch, NumPy arrays. losses: of each step; valid_losses: before the first epoch and after
    each, nats an answer token; best_epoch from 1. seconds: of all runs of it together."""

    trained: Trained
    losses: list[float]
    valid_losses: list[float]
    best_epoch: int
    seconds: float
    work: Work


def plan_work(examples: Sequence[Example], tuning: TuningConfig, data_devices: int = 1) -> Work:
    """What the steps of `tune` will be, without any of them."""
    lengths = [len(prompt) + len(answer) for prompt, answer in examples]
    width = _ceil(max([tuning.row_tokens, *lengths]), 32)
    epochs = [_batches(len(examples), tuning, epoch) for epoch in range(tuning.epochs)]
    batches = [[examples[place] for place in batch] for epoch in epochs for batch in epoch]
    shape = pack_shape(batches, width, tuning.micro_batches, data_devices)
    return Work(len(examples), sum(lengths), len(batches), shape)


def tune(
    start: Untuned,
    examples: Sequence[Example],
    validation: Sequence[Example],
    tuning: TuningConfig,
    unfinished: Path,
    notice: Notice,
) -> Outcome:
    """Train what `start.trained` holds. unfinished: a folder whose checkpoints a killed run leaves and this one reads.

    An epoch's loss on the validation examples chooses the best; the first of equal ones. Raises: UserError where
    there are not as many devices as the settings want, or an example does not fit the decoder.
    """
    mesh = make_mesh(DevicesConfig(tuning.devices, tuning.tensor_devices))
    data_devices = 1 if mesh is None else mesh.shape["data"]
    work = plan_work(examples, tuning, data_devices)
    settings = OptimizerConfig("adamw", tuning.learning_rate, "cosine", work.steps // _WARM_UP, clip_norm=1.0)
    optimizer = make_optimizer(settings, work.steps)
    recipe = Recipe(start.config, optimizer, start.lora, start.first_new, tuning.remat, mesh)
    frozen = place(start.frozen, start.config, mesh)
    run = _Run(tuning, recipe, frozen, work, Checkpoints(unfinished), notice)
    return run.all_epochs(init_state(start.trained, recipe), examples, validation)


@dataclasses.dataclass
class _Record:
    """What a checkpoint tells beside the arrays."""

    losses: list[float] = dataclasses.field(default_factory=list)
    valid_losses: list[float] = dataclasses.field(default_factory=list)
    best_step: int | None = None
    seconds: float = 0.0

    def meta(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "stopping": {"best_step": self.best_step}}


@dataclasses.dataclass
class _Run:
    tuning: TuningConfig
    recipe: Recipe
    frozen: Any
    work: Work
    checkpoints: Checkpoints
    notice: Notice

    def __post_init__(self) -> None:
        self.saving, self.telling = _Every(_SAVE_SECONDS), _Every(_TELL_SECONDS)
        self._begun, self._before = time.monotonic(), 0.0
        self._paced: tuple[float, int] | None = None

    def all_epochs(self, state: TuningState, examples: Sequence[Example], validation: Sequence[Example]) -> Outcome:
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
        )
        record, steps_each = _Record(), -(-len(examples) // self.tuning.batch_size)
        restored = self.checkpoints.restore_latest(abstract)
        if restored is not None:
            self.checkpoints.discard_after(restored.step)
            state, told = restored.state, restored.meta
            record = _Record(**{field.name: told[field.name] for field in dataclasses.fields(_Record)})
            self.notice(f"tuning: goes on after step {restored.step} of {self.work.steps}")
        self._begun, self._before = time.monotonic(), record.seconds
        valid_batches = self._valid_batches(validation)
        if not record.valid_losses:
            record.valid_losses.append(self._valid_loss(state, valid_batches))
            self.notice(f"tuning: validation loss {record.valid_losses[0]:.4f} before the first step")
        for epoch in range(len(record.losses) // steps_each, self.tuning.epochs):
            state = self._epoch(state, examples, epoch, record)
            value, best = self._valid_loss(state, valid_batches), min(record.valid_losses[1:], default=np.inf)
            record.valid_losses.append(value)
            record.best_step = len(record.losses) if value < best else record.best_step
            loss = np.mean(record.losses[-steps_each:])
            self.notice(
                f"tuning: epoch {epoch + 1} of {self.tuning.epochs}: loss {loss:.4f}, validation loss {value:.4f}"
            )
            self._save(state, record)
        assert record.best_step is not None  # losses are finite
        try:
            kept = self.checkpoints.restore(record.best_step, abstract).state.trained
        except DamagedCheckpointError as error:
            raise UserError(f"{self.checkpoints.folder}: {error}; remove the folder to start anew") from error
        trained, best_epoch = jax.device_get(kept), record.best_step // steps_each
        return Outcome(trained, record.losses, record.valid_losses, best_epoch, record.seconds, self.work)

    def _epoch(self, state: TuningState, examples: Sequence[Example], epoch: int, record: _Record) -> TuningState:
        """The steps of an epoch that the record lacks."""
        batches = _batches(len(examples), self.tuning, epoch)
        for number, batch in enumerate(batches):
            if epoch * len(batches) + number < len(record.losses):
                continue
            packed = packed_batch([examples[place] for place in batch], self.recipe.config, self.work.shape)
            state, found = tuning_step(
                self.frozen,
                state,
                place_rows(packed, self.recipe.mesh, axis=1),
                recipe=self.recipe,
                seed=self.tuning.seed,
            )
            record.losses.append(_finite(float(found["loss"]), f"step {len(record.losses) + 1}"))
            # The first step of a run says nothing of the others: it is compiled.
            self._paced = self._paced or (time.monotonic(), len(record.losses))
            if self.telling.due():
                self._tell(epoch, record)
            if number + 1 < len(batches) and self.saving.due():
                self._save(state, record)
        return state

    def _save(self, state: TuningState, record: _Record) -> None:
        record.seconds = self._before + time.monotonic() - self._begun
        self.checkpoints.save(len(record.losses), state, record.meta(), record.best_step)

    def _tell(self, epoch: int, record: _Record) -> None:
        done, steps = len(record.losses), self.work.steps
        begun, first = self._paced or (0.0, done)
        left = f", {(time.monotonic() - begun) / (done - first) * (steps - done):,.0f} s left" if done > first else ""
        self.notice(
            f"tuning: epoch {epoch + 1} of {self.tuning.epochs}, step {done} of {steps}: "
            f"loss {record.losses[-1]:.4f}{left}"
        )

    def _valid_batches(self, validation: Sequence[Example]) -> list[Any]:
        size = self.tuning.batch_size
        batches = [validation[begin : begin + size] for begin in range(0, len(validation), size)]
        longest = max((len(prompt) + len(answer) for prompt, answer in validation), default=0)
        width = max(self.work.shape.width, _ceil(longest, 32))
        mesh = self.recipe.mesh
        shape = pack_shape(batches, width, 1, 1 if mesh is None else mesh.shape["data"])
        return [place_rows(packed_batch(batch, self.recipe.config, shape), mesh, axis=1) for batch in batches]

    def _valid_loss(self, state: TuningState, batches: Sequence[Any]) -> float:
        """Mean over the answers' tokens of all validation examples."""
        sums = [loss_sum(self.frozen, state.trained, batch, recipe=self.recipe) for batch in batches]
        total, count = (float(jnp.asarray(parts).sum()) for parts in zip(*sums, strict=True))
        return _finite(total / count, "the validation examples")


class _Every:
    """Whether so many seconds have passed since it last said so."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        due = time.monotonic() - self._last >= self._seconds
        if due:
            self._last = time.monotonic()
        return due


def _batches(count: int, tuning: TuningConfig, epoch: int) -> list[list[int]]:
    """The places of the examples of each step of an epoch; each example once, in an order of the epoch's own."""
    order = np.random.default_rng((tuning.seed, epoch)).permutation(count).tolist()
    return [order[begin : begin + tuning.batch_size] for begin in range(0, count, tuning.batch_size)]


def _finite(loss: float, place: str) -> float:
    if not math.isfinite(loss):
        raise UserError(f"tuning: the loss of {place} is {loss}; a smaller tuning.learning_rate is needed")
    return loss


def _ceil(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
