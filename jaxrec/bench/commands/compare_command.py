"""`python -m jaxrec.bench compare BEFORE AFTER`."""

from __future__ import annotations

import argparse
import sys

from jaxrec.bench.comparison import compare, failures, table
from jaxrec.bench.report import read_report
from jaxrec.errors import UserError

HELP = "two reports side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The reports, and what fails."""
    parser.add_argument("before", metavar="A.json")
    parser.add_argument("after", metavar="B.json")
    parser.add_argument(
        "--fail-over",
        type=float,
        metavar="FACTOR",
        help="exit 1 where a variant of ours takes this much longer, or its program says or holds this much more",
    )


def execute(options: argparse.Namespace) -> int:
    """A line a variant; 1 where something became worse than allowed, or a check of the second report failed."""
    before, after = read_report(options.before), read_report(options.after)
    changes = compare(before, after)
    if not changes:
        raise UserError(
            f"{options.after}: found no variant that {options.before} holds too, allowed reports that share one"
        )
    sys.stdout.write(table(changes) + "\n")
    failed = failures(changes, after, options.fail_over)
    sys.stderr.writelines(f"{line}\n" for line in failed)
    return 1 if failed else 0
