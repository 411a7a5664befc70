"""`python -m jaxrec.study FILE [--workdir DIR] [--jobs N] [--flag value …]`: a grid of runs as a table and a figure.

Each cell is a run folder of its own. What is done is skipped, what stopped goes on; the table is always written anew
from what is finished.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from rich.console import Console

from jaxrec.command_line import BUG, OK, run_command
from jaxrec.errors import UserError
from jaxrec.run_folder import write_json
from jaxrec.studies.arguments import split_study_arguments
from jaxrec.studies.cells import Overrides, distinct, make_cells
from jaxrec.studies.cores import default_jobs
from jaxrec.studies.definition import Study, load_study
from jaxrec.studies.display import StudyDisplay
from jaxrec.studies.execution import is_done, run_cells
from jaxrec.studies.outcome import Outcome, collect


def main(argv: list[str]) -> int:
    """Run a study; the exit status."""
    from jaxrec.train.signals import StopRequests

    arguments = split_study_arguments(argv)
    study = load_study(arguments.path)
    if arguments.seeds is not None:
        study = study.with_seeds(arguments.seeds)
    cells = make_cells(study, Overrides(arguments.data, arguments.text, arguments.flags, arguments.refine))
    workdir = arguments.workdir or pathlib.Path("studies") / study.name
    runs = arguments.runs or (workdir / "runs" if arguments.workdir else pathlib.Path("studies") / "runs")
    console = Console(stderr=True, highlight=False)
    todo = distinct(cells)
    done = sum(is_done(runs, cell) for cell in todo)
    console.print(
        f"jaxrec: study {study.name}: {len(study.rows)} rows x {len(study.columns)} columns x {len(study.seeds)} "
        f"seeds, {len(todo)} different runs, {done} of them done; runs in {runs}",
        soft_wrap=True,
        markup=False,
    )
    failures: dict[str, str] = {}
    stopped = None
    if not arguments.table_only and done < len(todo):
        jobs = min(arguments.jobs or default_jobs(), len(todo) - done)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            with StopRequests() as stop, StudyDisplay(console, len(todo), done, jobs) as display:
                failures = run_cells(todo, runs, jobs, display, stop)
                stopped = stop.number
        except OSError as error:
            raise UserError(f"{error.filename or runs}: {error.strerror or error}") from error
    if not arguments.table_only and stopped is None and any(cell.refined for cell in cells):
        from jaxrec.studies.refined_runs import refine_cells

        failures |= refine_cells(cells, runs, console)
    outcome, *further = (
        collect(dataclasses.replace(study, protocol=protocol, also=()), cells, runs, failures)
        for protocol in (study.protocol, *study.also)
    )
    for line in write(outcome, workdir, further):
        console.print(f"jaxrec: {line}", soft_wrap=True, markup=False)
    if stopped is not None:
        console.print("jaxrec: stopped; the same command goes on from there", soft_wrap=True)
        return 128 + stopped
    return BUG if failures else OK


def write(outcome: Outcome, workdir: pathlib.Path, further: Sequence[Outcome] = ()) -> list[str]:
    """Write table.md, table.json and, where the study has one, figure.png; what was written, one line each.

    further: the same runs under other protocols.

    Raises UserError where the folder cannot be written.
    """
    from jaxrec.studies.markdown import as_markdown
    from jaxrec.studies.record import as_json

    study: Study = outcome.study
    lines = []
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        picture = None
        if study.figure is not None and outcome.systems:
            from jaxrec.studies.figure import draw

            try:
                draw(outcome, study.figure, workdir / "figure.png")
                picture = "figure.png"
            except ImportError as error:
                lines.append(f"no figure: {error}; pip install 'jaxrec[plots]' brings what draws it")
        write_json(workdir / "table.json", as_json(outcome, further))
        partial = workdir / "table.md.partial"
        partial.write_text(as_markdown(outcome, picture, further), encoding="utf-8")
        partial.replace(workdir / "table.md")
    except OSError as error:
        raise UserError(f"{error.filename or workdir}: cannot be written: {error.strerror or error}") from error
    missing = f", {len(outcome.missing)} of {outcome.num_cells} cells missing" if outcome.missing else ""
    written = ", ".join(["table.md", "table.json", *([picture] if picture else [])])
    return [*lines, f"{written} in {workdir}{missing}"]


if __name__ == "__main__":
    sys.exit(run_command(main))
