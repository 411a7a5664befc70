"""The training loop of several seeds in one program; what each keeps is what its own run would have kept.

Every seed has its log, its early stopping and its checkpoints, in the form of a run by itself. All go on until the last
has stopped: a seed whose patience has run out is evaluated and logged no more, and its best step stays what it was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.errors import UserError
from jaxrec.models.base import Context, Model
from jaxrec.train.config import TrainConfig
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.loop import Evaluate, TrainResult
from jaxrec.train.mesh import PartitionRules, replicate
from jaxrec.train.metrics_log import MetricsLog
from jaxrec.train.seed_run import SeedRun, restore_common
from jaxrec.train.seeds_step import (
    SeedsInput,
    first_states,
    make_seeds_loop,
    stack_states,
    stacked_shardings,
    state_of,
)
from jaxrec.train.signals import StoppedBySignalError, StopRequests
from jaxrec.train.state import TrainState, abstract_state
from jaxrec.train.step import Progress

_SECONDS_PER_CALL = 2.0


@dataclasses.dataclass
class SeedsTrainer:
    """Trains a model from several seeds at once. evaluate: metrics of one seed's parameters; rules: as of one run."""

    model: Model
    optimizer: optax.GradientTransformation
    ctx: Context
    mesh: jax.sharding.Mesh | None
    rules: PartitionRules
    data: SeedsInput
    config: TrainConfig
    runs: tuple[SeedRun, ...]
    evaluate: Evaluate
    display: TrainingDisplay
    notice: Callable[[str], None]

    def __post_init__(self) -> None:
        first = self.runs[0].seed
        self._abstract = abstract_state(self.model, self.optimizer, self.ctx, first, self.rules, self.mesh)
        single = jax.tree.map(lambda leaf: leaf.sharding, self._abstract)
        self._single, self._shardings = single, stacked_shardings(single)
        self._stack = jax.jit(stack_states, out_shardings=self._shardings)
        self._take = jax.jit(state_of, out_shardings=single)
        self._seconds = {"compile": 0.0, "train": 0.0, "eval": 0.0}

    def run(self) -> list[TrainResult]:
        """Train until every seed has stopped, from the newest checkpoint that all have; one result a seed.

        Seconds are each seed's share of the whole, equal for all.
        """
        per_epoch = self.data.steps_per_epoch
        total = per_epoch * self.config.epochs
        state, first_step = self._start()
        step = first_step
        logs = [run.open_log(step) for run in self.runs]
        call = self._compile(state)
        saved_at, seconds_per_step = time.monotonic(), 0.0
        sums: dict[str, np.ndarray] = {}
        counted = 0
        with StopRequests() as stop, self.display:
            while step < total and self._active.any():
                steps = min(per_epoch - step % per_epoch, self.config.log_every - step % self.config.log_every)
                steps = max(1, min(steps, int(_SECONDS_PER_CALL / seconds_per_step))) if seconds_per_step else 1
                started = time.monotonic()
                state, progress = call(state, steps)
                progress = jax.device_get(progress)
                self._check_finite(progress)
                done, elapsed = int(progress.steps), time.monotonic() - started
                seconds_per_step = elapsed / done
                self._seconds["train"] += elapsed
                examples = self.data.examples(step, done)
                step, counted = step + done, counted + done
                for run in self._going():
                    run.examples += examples
                sums = {name: sums.get(name, 0.0) + value for name, value in progress.sums.items()}
                rate = examples * int(self._active.sum()) / elapsed
                self._show(step, {name: value / counted for name, value in sums.items()}, rate)
                if step % self.config.log_every == 0 or step % per_epoch == 0:
                    for place, (run, log) in enumerate(zip(self.runs, logs, strict=True)):
                        if run.steps is None:
                            means = {name: float(value[place]) / counted for name, value in sums.items()}
                            self._log(log, step, "train", means | {"examples_per_second": rate})
                    sums, counted = {}, 0
                better = False
                if step % per_epoch == 0 and ((step // per_epoch) % self.config.eval_every == 0 or step == total):
                    better = self._evaluate(state, step, logs, step == total)
                overdue = time.monotonic() - saved_at >= self.config.checkpoint_every_seconds
                if better or overdue or stop.number is not None:
                    self._save(state, step)
                    saved_at = time.monotonic()
                if stop.number is not None:
                    for log in logs:
                        log.close()
                    raise StoppedBySignalError(stop.number, step)
            if step > first_step:
                self._save(state, step)
        for log in logs:
            log.close()
        return [self._result(place, state, step) for place in range(len(self.runs))]

    @property
    def _active(self) -> np.ndarray:
        """Which seeds go on, [S] bool."""
        return np.array([run.steps is None for run in self.runs])

    def _going(self) -> list[SeedRun]:
        return [run for run in self.runs if run.steps is None]

    def _start(self) -> tuple[TrainState, int]:
        common = restore_common(self.runs, self._abstract, self.notice)
        if common is not None:
            self._seconds = {name: value * len(self.runs) for name, value in common.seconds.items()}
            return self._stack(common.states), common.step
        seeds = [run.seed for run in self.runs]
        return self._stack(first_states(self.model, self.optimizer, self.ctx, seeds, self._single)), 0

    def _compile(self, state: TrainState) -> Callable[[TrainState, int], tuple[TrainState, Progress]]:
        started = time.monotonic()
        seeds = [run.seed for run in self.runs]
        loop = make_seeds_loop(self.model, self.optimizer, self.data, seeds)
        jitted = jax.jit(loop, donate_argnums=0, out_shardings=(self._shardings, None))
        arrays = replicate(self.data.arrays, self.mesh)

        def given(steps: int) -> tuple[Any, Any]:
            return replicate((np.asarray(steps, np.int32), self._active), self.mesh)

        compiled = jitted.lower(state, *given(1), arrays, self.ctx).compile()
        self._seconds["compile"] += time.monotonic() - started
        return lambda state, steps: compiled(state, *given(steps), arrays, self.ctx)

    def _evaluate(self, state: TrainState, step: int, logs: list[MetricsLog], last: bool) -> bool:
        """Validate the seeds that go on; whether one of them is at its best."""
        self._require_finite(state, step)
        better, monitor = False, self.config.monitor
        for place, (run, log) in enumerate(zip(self.runs, logs, strict=True)):
            if run.steps is not None:
                continue
            started = time.monotonic()
            metrics = self.evaluate(self._take(state, place).params)
            self._seconds["eval"] += time.monotonic() - started
            value = metrics[monitor]
            if not np.isfinite(value):
                raise UserError(f"seed {run.seed}, step {step}: validation {monitor} is {value}; no step can be best")
            run.stopping = stopping = run.stopping.update(value, step)
            better |= stopping.best_step == step
            self._log(log, step, "valid", metrics)
            self.display.evaluation(
                step // self.data.steps_per_epoch,
                f"seed {run.seed}: {monitor}",
                value,
                stopping.best_value or 0.0,
                stopping.evaluations_since_best,
                stopping.patience,
            )
            if stopping.should_stop or last:
                run.steps = step
        return better

    def _save(self, state: TrainState, step: int) -> None:
        """A checkpoint of every seed at this step: what is resumed is the newest that all have."""
        self._require_finite(state, step)
        for place, run in enumerate(self.runs):
            own = self._take(state, place)
            run.checkpoints.save(step, own, run.meta(self._share()), run.stopping.best_step)

    def _result(self, place: int, state: TrainState, step: int) -> TrainResult:
        run, share = self.runs[place], self._share()
        best_step = run.stopping.best_step
        assert best_step is not None  # the last epoch is always evaluated
        assert run.steps is not None
        best = self._take(state, place) if best_step == step else run.restore_best(self._abstract)
        rate = run.examples / share["train"] if share["train"] else 0.0
        return TrainResult(best.params, run.steps, best_step, share, rate)

    def _share(self) -> dict[str, float]:
        return {name: value / len(self.runs) for name, value in self._seconds.items()}

    def _show(self, step: int, parts: dict[str, np.ndarray], rate: float) -> None:
        means = {name: float(value[self._active].mean()) for name, value in parts.items()}
        self.display.train(step, -(-step // self.data.steps_per_epoch), means, rate)

    def _log(self, log: MetricsLog, step: int, split: str, metrics: dict[str, float]) -> None:
        epoch = -(-step // self.data.steps_per_epoch)
        log.write(step=step, epoch=epoch, split=split, metrics=metrics, seconds=self._share()["train"])

    def _check_finite(self, progress: Progress) -> None:
        if progress.bad_step < 0:
            return
        bad = [
            f"seed {run.seed}: {name} = {float(value[place])}"
            for place, run in enumerate(self.runs)
            for name, value in progress.bad_parts.items()
            if not np.isfinite(value[place])
        ]
        raise UserError(f"step {int(progress.bad_step)}: the loss is not finite ({', '.join(bad)}); {self._remedy()}")

    def _require_finite(self, state: TrainState, step: int) -> None:
        """Refuse to rank or to keep parameters of a seed that goes on which an update has made NaN or infinite."""
        bad = [
            run.seed
            for run, fine in zip(self.runs, _finite(state.params), strict=True)
            if run.steps is None and not fine
        ]
        if bad:
            raise UserError(f"step {step}: the parameters of seed {bad[0]} are not finite; {self._remedy()}")

    def _remedy(self) -> str:
        steps = self.runs[0].checkpoints.steps()
        last = f"the last good checkpoints are of step {steps[-1]}" if steps else "no checkpoint was written yet"
        return f"{last}; a lower train.optimizer.learning-rate or train.optimizer.clip-norm usually helps"


@jax.jit
def _all_finite(params: Any) -> jax.Array:
    leaves = jax.tree.leaves(params)
    return jnp.all(jnp.stack([jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in leaves]), axis=0)


def _finite(params: Any) -> np.ndarray:
    """Whether all parameters of each seed are finite, [S] bool."""
    return np.asarray(_all_finite(params))
