"""The training loop: calls the compiled steps, evaluates, stops early, saves and resumes.

The loop decides nothing that enters a result by the clock: evaluations fall on epochs, batches follow from
(seed, step), and how steps are divided into calls does not change them. What the clock does decide, the first process
decides for all.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.distributed import agree, stop_wanted
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Model
from jaxrec.train.checkpoint import Checkpoints, DamagedCheckpointError
from jaxrec.train.config import TrainConfig
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.early_stopping import EarlyStopping
from jaxrec.train.input import TrainingInput
from jaxrec.train.mesh import PartitionRules, replicate
from jaxrec.train.metrics_log import MetricsLog
from jaxrec.train.profiling import Profiler
from jaxrec.train.signals import StoppedBySignalError, StopRequests
from jaxrec.train.state import TrainState, abstract_state, first_state
from jaxrec.train.step import Progress

# A call should end soon enough for a signal to be heard and a bar to move.
_SECONDS_PER_CALL = 2.0
_REMEDY = "a lower train.optimizer.learning-rate or train.optimizer.clip-norm usually helps"


class Evaluate(Protocol):
    """Metrics of the validation part for given parameters."""

    def __call__(self, params: Any) -> dict[str, float]:
        """Metric name -> value."""
        ...


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The best parameters and how they came about. Seconds cover this run and those it resumed."""

    params: Any
    steps: int
    best_step: int
    seconds: dict[str, float]
    examples_per_second: float


@dataclasses.dataclass
class Trainer:
    """Trains one model in one run folder. rules: partition rules of the parameters (jaxrec.train.mesh)."""

    model: Model
    optimizer: optax.GradientTransformation
    ctx: Context
    mesh: jax.sharding.Mesh | None
    rules: PartitionRules
    data: TrainingInput
    config: TrainConfig
    seed: int
    evaluate: Evaluate
    checkpoints: Checkpoints
    open_log: Callable[[int], MetricsLog]
    display: TrainingDisplay
    notice: Callable[[str], None]
    profiler: Profiler = dataclasses.field(default_factory=Profiler)

    def __post_init__(self) -> None:
        self._abstract = abstract_state(self.model, self.optimizer, self.ctx, self.seed, self.rules, self.mesh)
        self._shardings = jax.tree.map(lambda leaf: leaf.sharding, self._abstract)
        self._stopping = EarlyStopping(self.config.patience)
        self._seconds = {"compile": 0.0, "train": 0.0, "eval": 0.0}
        self._examples = 0

    def restore(self, step: int | None = None) -> TrainState | None:
        """State of the newest whole checkpoint (or of one step) on this run's devices; None where there is none."""
        if step is not None:
            try:
                return self.checkpoints.restore(step, self._abstract).state
            except DamagedCheckpointError as error:
                raise UserError(f"{self.checkpoints.folder}: the best one is lost: {error}") from error
        restored = self.checkpoints.restore_latest(self._abstract)
        if restored is None:
            return None
        for message in restored.damaged:
            self.notice(f"damaged {message}; using the one of step {restored.step} instead")
        self.checkpoints.discard_after(restored.step)
        self._stopping = EarlyStopping(self.config.patience, **restored.meta["stopping"])
        self._seconds = dict(restored.meta["seconds"])
        self._examples = restored.meta["examples"]
        return restored.state

    def run(self) -> TrainResult:
        """Train to the end of the last epoch or until patience runs out, from the newest checkpoint if any."""
        per_epoch = self.data.steps_per_epoch
        total = per_epoch * self.config.epochs
        state = self.restore()
        step = 0 if state is None else int(state.step)
        if state is None:
            init = jax.jit(first_state, static_argnums=(0, 1, 3), out_shardings=self._shardings)
            state = init(self.model, self.optimizer, self.ctx, self.seed)
        else:
            self.notice(f"resumed from the checkpoint of step {step} (epoch {step // per_epoch})")
        log = self.open_log(step)
        call = self._compile(state)
        saved_at, first_step, seconds_per_step = time.monotonic(), step, 0.0
        sums: dict[str, float] = {}
        counted = 0
        with StopRequests() as stop, self.display, self.profiler:
            while step < total and not self._stopping.should_stop:
                steps = min(per_epoch - step % per_epoch, self.config.log_every - step % self.config.log_every)
                # The first call is one step: nobody knows yet how long one takes.
                steps = max(1, min(steps, int(_SECONDS_PER_CALL / seconds_per_step))) if seconds_per_step else 1
                steps = agree(self.profiler.steps(step, steps))
                started = time.monotonic()
                with self.profiler.around(step):
                    state, progress = call(state, steps)
                    progress = jax.device_get(progress)
                done = int(progress.steps)
                self._check_finite(progress)
                elapsed = time.monotonic() - started
                seconds_per_step = elapsed / done
                self._seconds["train"] += elapsed
                examples = self.data.examples(step, done)
                self._examples += examples
                step, counted = step + done, counted + done
                epoch = step / per_epoch
                for name, value in progress.sums.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
                means = {name: value / counted for name, value in sums.items()}
                self.display.train(step, int(np.ceil(epoch)), means, examples / elapsed)
                if step % self.config.log_every == 0 or step % per_epoch == 0:
                    self._log(log, step, "train", means | {"examples_per_second": examples / elapsed})
                    sums, counted = {}, 0
                saved = False
                if step % per_epoch == 0 and (int(epoch) % self.config.eval_every == 0 or step == total):
                    saved = self._evaluate(state, step, log)
                stopped_by = stop_wanted(stop.number)
                if agree(stopped_by is not None or time.monotonic() - saved_at >= self.config.checkpoint_every_seconds):
                    self._save(state, step)
                    saved = True
                if saved:
                    saved_at = time.monotonic()
                if stopped_by is not None:
                    log.close()
                    raise StoppedBySignalError(stopped_by, step)
            if step > first_step:
                self._save(state, step)
        log.close()
        best_step = self._stopping.best_step
        assert best_step is not None  # the last epoch is always evaluated
        best = state if best_step == step else self.restore(best_step)
        assert best is not None
        rate = self._examples / self._seconds["train"] if self._seconds["train"] else 0.0
        return TrainResult(best.params, step, best_step, dict(self._seconds), rate)

    def _compile(self, state: TrainState) -> Callable[[TrainState, int], tuple[TrainState, Progress]]:
        """The compiled loop of this input, compiled now so that the time is known."""
        started = time.monotonic()
        call = self.data.compile(
            self.model,
            self.optimizer,
            self.seed,
            state,
            self.ctx,
            self._shardings,
            lambda tree: replicate(tree, self.mesh),
        )
        self._seconds["compile"] += time.monotonic() - started
        return call

    def _evaluate(self, state: TrainState, step: int, log: MetricsLog) -> bool:
        """Validate, and save when this is the best step so far; whether it was saved."""
        self._require_finite(state, step)
        started = time.monotonic()
        metrics = self.evaluate(state.params)
        self._seconds["eval"] += time.monotonic() - started
        value = agree(metrics[self.config.monitor])
        if not np.isfinite(value):
            raise UserError(
                f"step {step}: validation {self.config.monitor} is {value}; nothing to choose the best step by"
            )
        self._stopping = stopping = self._stopping.update(value, step)
        self._log(log, step, "valid", metrics)
        self.display.evaluation(
            step // self.data.steps_per_epoch,
            self.config.monitor,
            value,
            stopping.best_value or 0.0,
            stopping.evaluations_since_best,
            stopping.patience,
        )
        if stopping.best_step == step:
            self._save(state, step)
            return True
        return False

    def _save(self, state: TrainState, step: int) -> None:
        self._require_finite(state, step)
        meta = {"stopping": self._stopping.to_json(), "seconds": self._seconds, "examples": self._examples}
        self.checkpoints.save(step, state, meta, self._stopping.best_step)

    def _log(self, log: MetricsLog, step: int, split: str, metrics: dict[str, float]) -> None:
        epoch = -(-step // self.data.steps_per_epoch)
        log.write(step=step, epoch=epoch, split=split, metrics=metrics, seconds=self._seconds["train"])

    def _require_finite(self, state: TrainState, step: int) -> None:
        """Refuse to rank or to keep parameters that an update has made NaN or infinite, the loss being finite yet."""
        if not bool(_all_finite(state.params)):
            raise UserError(f"step {step}: the parameters are not finite; {self._last_good()}; {_REMEDY}")

    def _last_good(self) -> str:
        steps = self.checkpoints.steps()
        if not steps:
            return "no checkpoint was written yet"
        return f"the last good checkpoint is {self.checkpoints.folder / str(steps[-1])}"

    def _check_finite(self, progress: Progress) -> None:
        if progress.bad_step < 0:
            return
        bad = [f"{name} = {float(value)}" for name, value in progress.bad_parts.items() if not np.isfinite(value)]
        raise UserError(
            f"step {int(progress.bad_step)}: the loss is not finite ({', '.join(bad)}); {self._last_good()}; {_REMEDY}"
        )


@jax.jit
def _all_finite(params: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params)]))
