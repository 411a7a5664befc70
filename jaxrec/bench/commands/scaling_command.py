"""`python -m jaxrec.bench scaling`: the tables of docs/scaling.md."""

from __future__ import annotations

import argparse
import sys

HELP = "print memory and messages of each device at sizes past these machines, by formula"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def execute(options: argparse.Namespace) -> int:
    """The tables as Markdown."""
    from jaxrec.bench.scaling.plan import tables

    del options
    sys.stdout.write(tables())
    return 0
