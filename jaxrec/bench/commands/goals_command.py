"""`python -m jaxrec.bench goals [ID...]`: every goal's workload in a process of its own, and one report of all."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from jaxrec.bench.commands.run_command import add_measuring, settings_of
from jaxrec.bench.devices import NEEDS, of_this_machine
from jaxrec.bench.goal import Judged
from jaxrec.bench.goals import GOALS, judge_all, select
from jaxrec.bench.report import merge, read_report, write_report
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

HELP = "measure all goals that this machine can measure, or those named, and say which are met"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The goals, and how they are measured."""
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="goals, such as P1 or L2; without any, all of P, G and M that fit"
    )
    add_measuring(parser)


def execute(options: argparse.Namespace) -> int:
    """A line a goal; 1 where one is missed, not measured, or its workload failed. Keeps what a stopped run measured."""
    known = {goal.id for goal in GOALS}
    unknown = [name for name in options.ids if name not in known]
    if unknown:
        raise UserError(f"bench goals: found {unknown[0]!r}, allowed {', '.join(sorted(known, key=_place))}")
    settings, offers = settings_of(options), of_this_machine()
    goals = select(options.ids, offers)
    for name in options.ids:
        if all(goal.id != name for goal in goals):
            needs = next(goal.needs for goal in GOALS if goal.id == name)
            raise UserError(f"bench goals: found {name!r}, which needs {needs}, allowed: what {offers[-1]} can measure")
    if "two CPU cores" not in offers:
        # JAX would take most of the device's memory beforehand, and a PyTorch peer runs on the same one.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    report, failed = None, []
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(goal.workload for goal in goals):
            path = Path(folder) / f"{name}.json"
            # A process each: memory and compiled programs of one weigh on no other, and one that dies ends alone.
            status = subprocess.run(command(name, settings, path), check=False).returncode
            if status or not path.is_file():
                failed.append(f"{name}: ended with status {status}")
            if path.is_file():
                found = read_report(str(path))
                report = found if report is None else merge(report, found)
                if options.out is not None:
                    write_report(options.out, report)
    judged = [] if report is None else judge_all(report, goals)
    sys.stdout.writelines(f"{one.line}\n" for one in judged)
    if not options.ids:
        others = [Judged(goal, missing=f"needs {goal.needs}") for goal in select([], NEEDS) if goal.needs not in offers]
        sys.stdout.writelines(f"{one.line}\n" for one in others)
    sys.stderr.writelines(f"{line}\n" for line in failed)
    reached = all(one.met is not False and one.measured is not None for one in judged)
    return 0 if reached and not failed else 1


def command(name: str, settings: Settings, path: Path) -> list[str]:
    """The command that measures one workload, as a user would give it."""
    flags = ["--repeats", str(settings.repeats), "--scale", settings.scale, "--out", str(path)]
    for flag, value in (("--torch-python", settings.torch_python), ("--checkpoint", settings.checkpoint)):
        flags += [] if value is None else [flag, value]
    return [sys.executable, "-m", "jaxrec.bench", "run", name, *flags]


def _place(name: str) -> tuple[int, int]:
    """P, G, M, L, each by number."""
    return "PGML".index(name[0]), int(name[1:])
