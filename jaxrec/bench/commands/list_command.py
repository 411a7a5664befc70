"""`python -m jaxrec.bench list`."""

from __future__ import annotations

import argparse
import sys

from jaxrec.bench.registry import WORKLOADS, load

HELP = "name every workload and what it measures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def execute(options: argparse.Namespace) -> int:
    """One line a workload."""
    del options
    for name in WORKLOADS:
        sys.stdout.write(f"{name:<18} {load(name).DESCRIPTION}\n")
    return 0
