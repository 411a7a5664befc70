"""A trainer for an assembled experiment in its run folder."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from rich.console import Console

from jaxrec.assembly import Assembly
from jaxrec.distributed import is_first
from jaxrec.eval.protocols import AnyRanking
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.input import make_input
from jaxrec.train.loop import Trainer, TrainResult
from jaxrec.train.metrics_log import MetricsLog, NoLog
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.profiling import ProfiledSteps, Profiler


def make_trainer(
    assembly: Assembly,
    folder: pathlib.Path,
    valid: AnyRanking,
    console: Console,
    notice: Callable[[str], None],
    profile: ProfiledSteps | None = None,
) -> Trainer:
    """Trainer that validates with `valid`, shows progress on the console and keeps its checkpoints in the folder.

    profile: steps to trace.
    """
    experiment = assembly.experiment
    train = experiment.train
    data = make_input(assembly.dataset, train, experiment.seed, notice, experiment.model)
    total_steps = data.steps_per_epoch * train.epochs
    return Trainer(
        model=assembly.model,
        optimizer=make_optimizer(train.optimizer, total_steps),
        ctx=assembly.ctx,
        mesh=assembly.mesh,
        rules=experiment.model.partition_rules,
        data=data,
        config=train,
        seed=experiment.seed,
        evaluate=lambda params: valid.evaluate(assembly.model, params, assembly.ctx).metrics,
        checkpoints=Checkpoints(folder / "checkpoints"),
        open_log=lambda step: (
            MetricsLog(folder, resume_step=step, tensorboard=train.tensorboard) if is_first() else NoLog()
        ),
        display=TrainingDisplay(console, total_steps, train.epochs),
        notice=notice,
        profiler=Profiler(folder, profile, notice),
    )


def untrained() -> TrainResult:
    """What training gives for a model without parameters."""
    return TrainResult({}, 0, 0, {"compile": 0.0, "train": 0.0, "eval": 0.0}, 0.0)
