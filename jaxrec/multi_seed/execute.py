"""Trains the seeds of an experiment in one program; each one's folder is that of a run by itself."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable
from typing import Any, cast

import jax
from rich.console import Console

from jaxrec.assembly import Assembly
from jaxrec.errors import UserError
from jaxrec.eval.protocols import AnyRanking
from jaxrec.multi_seed.summary import summarize
from jaxrec.run_folder import claim, read_json, write_environment, write_json
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.early_stopping import EarlyStopping
from jaxrec.train.input import make_input
from jaxrec.train.loop import TrainResult
from jaxrec.train.mesh import describe_devices
from jaxrec.train.metrics_log import MetricsLog
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.seed_run import SeedRun
from jaxrec.train.seeds import SeedsTrainer
from jaxrec.train.seeds_step import SeedsInput

Finish = Callable[[Assembly, TrainResult, pathlib.Path, AnyRanking, Callable[[str], None]], dict[str, Any]]


def execute_seeds(
    assembly: Assembly,
    folder: pathlib.Path,
    valid: AnyRanking,
    console: Console,
    notice: Callable[[str], None],
    finish: Finish,
) -> dict[str, Any]:
    """Train (or resume) all seeds, rank each one's best, and write the result over seeds.

    finish: ranks a trained run by itself and writes its folder. Raises UserError where the seeds cannot share a
    program, StoppedBySignalError after saving.
    """
    if jax.process_count() > 1:
        raise UserError(f"seeds: found {assembly.experiment.seeds} in {jax.process_count()} processes, allowed: 1")
    first = assembly.experiment.seed
    parts = [assembly.of_seed(seed) for seed in range(first, first + assembly.experiment.seeds)]
    folders = [folder / f"seed-{part.experiment.seed}" for part in parts]
    with contextlib.ExitStack() as claims:
        for part, own in zip(parts, folders, strict=True):
            claims.enter_context(claim(own, part.experiment, part.hash))
            write_environment(own, describe_devices(assembly.mesh))
            write_json(own / "data.json", assembly.dataset.provenance)
        trained = make_seeds_trainer(parts, folders, valid, console, notice).run()
        results = []
        for part, own, one in zip(parts, folders, trained, strict=True):
            made = own / "result.json"
            if made.is_file():  # by this command, stopped while it ranked a later seed
                results.append(read_json(made))
                continue
            notice(f"seed {part.experiment.seed}: best step {one.best_step:,} of {one.steps:,}")
            results.append(finish(part, one, own, valid, notice))
    summary = summarize(assembly.hash, results, [own.name for own in folders])
    write_json(folder / "result.json", summary)
    return summary


def make_seeds_trainer(
    parts: list[Assembly],
    folders: list[pathlib.Path],
    valid: AnyRanking,
    console: Console,
    notice: Callable[[str], None],
) -> SeedsTrainer:
    """Trainer of all parts, which differ in their seed alone; each keeps its log and checkpoints in its folder."""
    assembly = parts[0]
    experiment, train = assembly.experiment, assembly.experiment.train
    data = make_input(assembly.dataset, train, experiment.seed, notice, experiment.model)
    if not hasattr(data, "batches_from"):
        raise UserError(
            f"seeds: found {len(parts)} with a training part that is streamed to the device, allowed: 1, or "
            "train.input device (train.device_budget_mb says how much the device may hold)"
        )
    total_steps = data.steps_per_epoch * train.epochs

    def seed_run(part: Assembly, folder: pathlib.Path) -> SeedRun:
        def open_log(step: int) -> MetricsLog:
            return MetricsLog(folder, resume_step=step, tensorboard=train.tensorboard)

        return SeedRun(
            part.experiment.seed, Checkpoints(folder / "checkpoints"), open_log, EarlyStopping(train.patience)
        )

    return SeedsTrainer(
        model=assembly.model,
        optimizer=make_optimizer(train.optimizer, total_steps),
        ctx=assembly.ctx,
        mesh=assembly.mesh,
        rules=experiment.model.partition_rules,
        data=cast(SeedsInput, data),
        config=train,
        runs=tuple(seed_run(part, folder) for part, folder in zip(parts, folders, strict=True)),
        evaluate=lambda params: valid.evaluate(assembly.model, params, assembly.ctx).metrics,
        display=TrainingDisplay(console, total_steps, train.epochs),
        notice=notice,
    )
