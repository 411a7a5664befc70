"""One trial: an experiment trained in a run folder of its own and measured on the validation part alone."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from rich.console import Console

from jaxrec import config as configuration
from jaxrec.assembly import Assembly, assemble, make_context
from jaxrec.config import Experiment
from jaxrec.data.dataset import Dataset
from jaxrec.eval.protocols import make_ranking
from jaxrec.models.registry import build_model
from jaxrec.run_folder import claim
from jaxrec.sweeping.display import SweepDisplay, TrialDisplay
from jaxrec.train.loop import Trainer
from jaxrec.train.mesh import device_count
from jaxrec.train.metrics_log import MetricsLog, read_metrics
from jaxrec.training import make_trainer

Report = Callable[[int, float], None]
"""Told epoch and value of each validation; raises PrunedError where the trial is not worth going on with."""


class PrunedError(Exception):
    """A trial that falls behind the others and is cut short."""


class Outcome(NamedTuple):
    """What a trial found: its best validation value, of which epoch, and how many epochs it trained."""

    value: float
    best_epoch: int
    epochs: int


class Trials(Protocol):
    """What runs trials; `hash` of what `prepare` gives tells two settings apart."""

    def prepare(self, experiment: Experiment[Any]) -> Any:
        """Check an experiment and build what it runs on."""
        ...

    def run(self, prepared: Any, report: Report) -> Outcome:
        """Train and validate; goes on where an interrupted trial of the same settings was saved."""
        ...

    def folder(self, run_hash: str) -> pathlib.Path:
        """The run folder of these settings."""
        ...

    def discard(self, run_hash: str) -> None:
        """Drop the checkpoints of a trial that will not be chosen."""
        ...


class TrainingTrials:
    """Trials that train for real. Data and text are those of `base`; none of its test part is within reach."""

    def __init__(
        self,
        base: Assembly,
        folder: pathlib.Path,
        console: Console,
        display: SweepDisplay,
        notice: Callable[[str], None],
    ) -> None:
        self._base, self._folder, self._console, self._display, self._notice = base, folder, console, display, notice

    def prepare(self, experiment: Experiment[Any]) -> Assembly:
        """The experiment checked against the data and built, its data without the test part."""
        base = self._base
        configuration.validate(experiment)
        parts = ("text", "features", "profiles", "reads_text")
        if all(getattr(experiment, part) == getattr(base.experiment, part) for part in parts):
            experiment = configuration.resolve(experiment, base.dataset, base.text)
            configuration.validate_against(experiment, base.dataset, base.text, device_count(experiment.devices))
            hashes = (None if found is None else found.sha256 for found in (base.text, base.features, base.profiles))
            whole = dataclasses.replace(
                base,
                experiment=experiment,
                hash=configuration.config_hash(experiment, base.dataset.sha256, *hashes),
                model=build_model(experiment.model, base.dataset.num_users, base.dataset.num_items),
                ctx=make_context(
                    experiment, base.dataset, base.text, base.mesh, base.features, base.profiles, base.rankings
                ),
            )
        else:
            whole = assemble(experiment, self._notice)
        return dataclasses.replace(whole, dataset=without_test(whole.dataset))

    def run(self, prepared: Assembly, report: Report) -> Outcome:
        """See Trials."""
        experiment = prepared.experiment
        valid = make_ranking(experiment.eval.protocols[0], prepared.dataset, "valid", experiment.eval, prepared.mesh)
        monitor = experiment.train.monitor
        folder = self.folder(prepared.hash)
        with claim(folder, experiment, prepared.hash):
            if not experiment.model.trains:
                return Outcome(valid.evaluate(prepared.model, {}, prepared.ctx).metrics[monitor], 0, 0)
            trainer = make_trainer(prepared, folder, valid, self._console, self._notice)
            trainer.display = TrialDisplay(self._display, experiment.train.epochs)
            trainer.open_log = lambda step: _ReportingLog(folder, step, monitor, report)
            return _outcome(folder, monitor, trainer)

    def folder(self, run_hash: str) -> pathlib.Path:
        """See Trials."""
        return self._folder / "trials" / run_hash

    def discard(self, run_hash: str) -> None:
        """See Trials. A run that was tested keeps its own, for others read them."""
        folder = self.folder(run_hash)
        if not (folder / "result.json").exists():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def without_test(dataset: Dataset) -> Dataset:
    """The dataset with nothing in its test part; its sha256 stays that of the whole."""
    return dataclasses.replace(dataset, test=dataset.test.take(np.zeros(len(dataset.test), bool)))


def _outcome(folder: pathlib.Path, monitor: str, trainer: Trainer) -> Outcome:
    trained = trainer.run()
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["split"] == "valid"]
    best = next(line for line in lines if line["step"] == trained.best_step)
    return Outcome(best["metrics"][monitor], best["epoch"], lines[-1]["epoch"])


class _ReportingLog(MetricsLog):
    """A metrics log that reports each validation, those before a resumed checkpoint first."""

    def __init__(self, folder: pathlib.Path, resume_step: int, monitor: str, report: Report) -> None:
        super().__init__(folder, resume_step=resume_step)
        self._monitor, self._report = monitor, report
        for line in read_metrics(self.path):
            if line["split"] == "valid":
                report(line["epoch"], line["metrics"][monitor])

    def write(self, *, step: int, epoch: int, split: str, metrics: dict[str, float], seconds: float) -> None:
        """Append one line and report it."""
        super().write(step=step, epoch=epoch, split=split, metrics=metrics, seconds=seconds)
        if split == "valid":
            self._report(epoch, float(metrics[self._monitor]))
