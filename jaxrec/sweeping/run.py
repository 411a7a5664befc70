"""One sweep in its folder: started, gone on with, or found finished."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console

from jaxrec.assembly import Assembly, absolute_paths, assemble
from jaxrec.config import Experiment
from jaxrec.errors import UserError
from jaxrec.report import print_banner
from jaxrec.run_folder import claim, write_json
from jaxrec.sweeping.arguments import SweepArguments
from jaxrec.sweeping.display import SweepDisplay
from jaxrec.sweeping.plot import draw
from jaxrec.sweeping.record import Sweep, budget_line, check_request, write_record
from jaxrec.sweeping.search import search
from jaxrec.sweeping.space import Space, describe, space_json
from jaxrec.sweeping.study import Study
from jaxrec.sweeping.trial import TrainingTrials
from jaxrec.train.signals import StoppedBySignalError

_WARMUP = 10  # share of the epochs, one in so many, that every trial may train before it can be cut short


class FinishedSweep(NamedTuple):
    """The content of sweep.json, the space, the folder, and whether a picture lies in it."""

    summary: dict[str, Any]
    space: Space
    folder: pathlib.Path
    drawn: bool

    @property
    def final(self) -> list[str]:
        """Arguments of the launch that reads the test part, in the trial's own folder: nothing is trained again."""
        run = self.folder / "trials" / self.summary["best"]["run"]
        return ["--config", str(self.folder / "best.json"), "--workdir", str(run)]


def run_sweep(experiment: Experiment[Any], space: Space, arguments: SweepArguments, console: Console) -> FinishedSweep:
    """Search until there are as many trials as were asked for.

    Raises UserError for a folder of another sweep or one that another process uses, and where no trial ran to its
    end. A signal saves and raises SystemExit with its status.
    """

    def notice(message: str) -> None:
        console.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    assembly = assemble(absolute_paths(experiment), notice)
    warmup = -(-experiment.train.epochs // _WARMUP) if arguments.pruning else None
    request = {"space": space_json(space), "sampler_seed": arguments.sampler_seed, "pruner_warmup_epochs": warmup}
    covered = json.dumps([assembly.hash, request], sort_keys=True)
    sweep_hash = hashlib.sha256(covered.encode()).hexdigest()[:12]
    folder = arguments.workdir or pathlib.Path("sweeps") / f"{experiment.name}-{sweep_hash}"
    check_request(folder, request)
    with claim(folder, assembly.experiment, sweep_hash):
        write_json(folder / "request.json", request)
        study = Study(folder, arguments.sampler_seed, warmup)
        sweep = Sweep(
            experiment=assembly.experiment,
            hash=sweep_hash,
            data={name: getattr(assembly.dataset, name) for name in ("name", "source", "sha256")},
            space=space,
            trials=max(arguments.trials, len(study.counted())),
            seed=arguments.sampler_seed,
            warmup_epochs=warmup,
        )
        if len(study.counted()) >= arguments.trials:
            notice(f"{folder} holds {len(study.counted())} trials, as many as were asked for; the best of them:")
        else:
            _print_request(console, sweep, assembly, folder)
            _search(sweep, study, assembly, folder, console, notice)
        summary = write_record(folder, sweep, study)
        if summary["best"] is None:
            raise UserError(f"{folder}: no trial ran to its end; the last one: {summary['trials'][-1]['reason']}")
        return FinishedSweep(summary, space, folder, draw(folder / "sweep.png", summary, space))


def _print_request(console: Console, sweep: Sweep, assembly: Assembly, folder: pathlib.Path) -> None:
    print_banner(console, assembly, folder)
    for line in (
        *(f"search   {name} = {describe(domain)}" for name, domain in sweep.space.items()),
        f"budget   {budget_line(sweep.budget())}",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _search(
    sweep: Sweep,
    study: Study,
    assembly: Assembly,
    folder: pathlib.Path,
    console: Console,
    notice: Callable[[str], None],
) -> None:
    display = SweepDisplay(console, sweep.trials, sweep.experiment.train.monitor)
    trials = TrainingTrials(assembly, folder, console, display, notice)
    try:
        search(
            study,
            assembly.experiment,
            sweep.space,
            sweep.trials,
            trials,
            display,
            lambda: write_record(folder, sweep, study),
            notice,
        )
    except StoppedBySignalError as stopped:
        notice(f"{stopped} of a trial, saved in {folder}; the same command goes on from there")
        raise SystemExit(stopped.exit_code) from None
    except KeyboardInterrupt:
        notice(f"stopped, saved in {folder}; the same command goes on from there")
        raise
