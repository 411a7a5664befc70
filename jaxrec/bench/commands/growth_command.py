"""`python -m jaxrec.bench growth`."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from jaxrec.bench.commands.run_command import add_measuring, settings_of
from jaxrec.errors import UserError

HELP = "how the cost of a step grows with users, items, edges, length and devices, with exponents and a figure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The axes, and where the figure goes."""
    parser.add_argument("--axes", nargs="+", metavar="AXIS", help="some of users items edges length devices (all)")
    parser.add_argument("--figure", metavar="FILE.png", help="draw the curves (needs the `plots` extra)")
    add_measuring(parser)


def execute(options: argparse.Namespace) -> int:
    """The exponents of every axis; 1 where a check does not hold."""
    from jaxrec.bench.growth import AXES, grow
    from jaxrec.bench.report import new_report, write_report

    settings, axes = settings_of(options), options.axes or AXES
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise UserError(f"--axes: found {unknown[0]!r}, allowed {', '.join(AXES)}")
    if options.figure is not None and not pathlib.Path(options.figure).absolute().parent.is_dir():
        raise UserError(f"--figure: found {options.figure!r}, allowed a file in a folder that exists")
    report = new_report(settings)
    entry = report["workloads"]["growth"] = grow(settings, axes)
    if options.out is not None:
        write_report(options.out, report)
    if options.figure is not None:
        from jaxrec.bench.growth_figure import draw_growth

        draw_growth(entry["curves"], pathlib.Path(options.figure))
    sys.stdout.write(table(entry["curves"]) + "\n")
    failed = [check for check, holds in entry["checks"].items() if not holds]
    sys.stdout.writelines(f"FAILED {check}\n" for check in failed)
    return 1 if failed else 0


def table(curves: dict[str, Any]) -> str:
    """A line for each axis and cost: its exponent, and the cost at the smallest and the largest size."""
    lines = [
        f"{'axis':<9}{'from':>9}{'to':>11}  {'cost':<20}{'exponent':>9}{'at the smallest':>18}{'at the largest':>18}"
    ]
    for axis, curve in curves.items():
        sizes = curve["sizes"]
        for cost, values in curve["costs"].items():
            slope = curve["exponents"][cost]
            shown = "" if slope is None else f"{slope:.2f}"
            ends = "".join(f"{'' if value is None else f'{value:,.6g}':>18}" for value in (values[0], values[-1]))
            lines.append(f"{axis:<9}{sizes[0]:>9,}{sizes[-1]:>11,}  {cost:<20}{shown:>9}{ends}")
    return "\n".join(lines)
