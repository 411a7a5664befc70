"""`python -m jaxrec.bench table REPORT.json... [--write PAGE.md]`."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from jaxrec.bench.markdown import between_markers, by_machine, tables
from jaxrec.bench.report import merge, read_report, same_machine
from jaxrec.errors import UserError

HELP = "reports as the tables of docs/benchmarks.md, each line with the command that measures it anew"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Reports and page."""
    parser.add_argument(
        "reports",
        nargs="*",
        metavar="REPORT.json",
        help="of `run --out` or `goals --out`, of one CPU and of one accelerator; a later one's workloads win",
    )
    parser.add_argument("--write", metavar="PAGE.md", help="put the tables between the page's markers")


def execute(options: argparse.Namespace) -> int:
    """The tables, on stdout or in the page."""
    found = [read_report(path) for path in options.reports]
    merged = []
    for alike in by_machine(found):
        for report in alike:
            differs = same_machine(report, alike[0])
            if differs is not None:
                paths = [options.reports[found.index(one)] for one in (report, alike[0])]
                raise UserError(f"{paths[0]}: found another {differs} than in {paths[1]}, allowed reports that agree")
        merged.append(functools.reduce(merge, alike) if alike else None)
    content = tables(*merged)
    if options.write is None:
        sys.stdout.write(content + "\n")
        return 0
    page = Path(options.write)
    try:
        page.write_text(between_markers(page.read_text(encoding="utf-8"), options.write, content), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--write: found {options.write!r} ({error.strerror}), allowed a page with markers") from None
    return 0
