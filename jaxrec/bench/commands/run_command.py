"""`python -m jaxrec.bench run NAME...`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from jaxrec.bench.devices import of_report
from jaxrec.bench.goals import judge_all
from jaxrec.bench.markdown import costs
from jaxrec.bench.registry import NEEDS, WORKLOADS, load
from jaxrec.bench.report import new_report, write_report
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

HELP = "run workloads, one repetition of each variant in turn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The workloads, and how they are measured."""
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"workloads, or `all`: {', '.join(WORKLOADS)}")
    add_measuring(parser)


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """The flags of whatever runs workloads."""
    parser.add_argument("--out", metavar="FILE.json", help="write the report here")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="timed repetitions of each variant (9)")
    parser.add_argument("--torch-python", metavar="PATH", help="an interpreter that has PyTorch, for the PyTorch peers")
    parser.add_argument("--scale", choices=("small", "full"), default="full", help="sizes: full, or small in seconds")
    parser.add_argument(
        "--checkpoint", metavar="PATH", help="a language model in place of random weights: candidate_ranking"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """What those flags say. Raises UserError."""
    if options.repeats < 1:
        raise UserError(f"--repeats: found {options.repeats}, allowed 1 or more")
    if options.out is not None and not Path(options.out).absolute().parent.is_dir():
        raise UserError(f"--out: found {options.out!r}, allowed a file in a folder that exists")
    if options.torch_python is not None and shutil.which(options.torch_python) is None:
        raise UserError(f"--torch-python: found {options.torch_python!r}, allowed an interpreter that has PyTorch")
    return Settings(options.repeats, options.torch_python, options.scale, options.checkpoint)


def execute(options: argparse.Namespace) -> int:
    """Each workload's times, checks and goals; 1 where a check does not hold (a goal missed is told and no failure)."""
    names = list(WORKLOADS) if options.names == ["all"] else options.names
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise UserError(f"bench: found workload {unknown[0]!r}, allowed {', '.join(WORKLOADS)} or all")
    settings = settings_of(options)
    report = new_report(settings)
    if options.names == ["all"] and settings.scale == "full":
        offers = of_report(report)
        names = [name for name in names if NEEDS.get(name, offers[0]) in offers]
    holds = True
    from jaxrec.bench.measure import measure  # touches the devices

    for name in names:
        sys.stderr.write(f"{name}\n")
        entry = measure(load(name), settings)
        report["workloads"][name] = entry
        sys.stdout.write(summary(name, entry, report))
        holds &= all(entry["checks"].values())
        if options.out is not None:  # after each, so that a stopped run keeps what it measured
            write_report(options.out, report)
    return 0 if holds else 1


def summary(name: str, entry: dict[str, Any], report: dict[str, Any]) -> str:
    """A workload's variants, programs, checks and goals, a line each."""
    lines = [f"{name} ({entry.get('unit', 'seconds')})"]
    for variant, times in entry["variants"].items():
        ratio = entry.get("ratios", {}).get(variant)
        slower = f"  {ratio['median']:6.2f}x (min/min {ratio['min']:.2f}x)" if ratio else ""
        limit = entry.get("roofline", {}).get(variant)
        near = f"  {limit['share']:.2f} of the bound by {limit['limit']}" if limit else ""
        lines.append(f"  {variant:<52} {times['median']:.4g} (min {times['min']:.4g}){slower}{near}")
    for variant, program in entry.get("programs", {}).items():
        lines.append(f"  {variant}: {costs(program)}")
    lines += [f"  {'ok    ' if holds else 'FAILED'} {check}" for check, holds in entry["checks"].items()]
    alone = {**report, "workloads": {name: entry}}
    lines += [f"  {judged.line}" for judged in judge_all(alone) if judged.goal.workload == name]
    return "\n".join(lines) + "\n"
