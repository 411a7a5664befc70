"""`python -m jaxrec.sweep CONFIG --trials N`: hyper-parameter search on the validation part, resumable.

Each trial trains in a run folder of its own and never sees the test part; `--final` reads it, once, for the settings
that validation chose.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from rich.console import Console

from jaxrec.command_line import run_command
from jaxrec.config import Experiment, load_config, override, validate
from jaxrec.errors import UserError
from jaxrec.sweeping.arguments import SweepArguments, split_sweep_arguments
from jaxrec.sweeping.space import Space, check_space
from jaxrec.sweeping.space_sources import default_space, space_from_file, space_from_flags

_BUDGET = ("epochs", "eval_every", "patience", "monitor")


def main(argv: list[str]) -> int:
    """Search the settings of one or several experiments; the exit status."""
    arguments = split_sweep_arguments(argv)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("optuna is not installed; pip install 'jaxrec[sweep]'")
    experiments = [override(load_config(path), arguments.rest) for path in arguments.configs]
    for experiment in experiments:
        validate(experiment)
    _require_one_budget(arguments, experiments)
    spaces = [_space(arguments, experiment) for experiment in experiments]
    console = Console(stderr=True, highlight=False)
    # In a file or a pipe nothing is folded to the width of a terminal that is not there.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    from jaxrec.sweeping.run import run_sweep
    from jaxrec.sweeping.show import print_rows, print_sweep

    finished = []
    for experiment, space in zip(experiments, spaces, strict=True):
        finished.append(run_sweep(experiment, space, arguments, console))
        print_sweep(out, finished[-1], final=arguments.final)
    if len(finished) > 1:
        print_rows(out, finished)
    if arguments.final:
        from jaxrec import launch

        for sweep in finished:
            launch.main(sweep.final)
    return 0


def _require_one_budget(arguments: SweepArguments, experiments: list[Experiment[Any]]) -> None:
    """Rows of one table get the same trials, of the same length, chosen by the same metric."""
    first = experiments[0]
    for path, other in zip(arguments.configs[1:], experiments[1:], strict=True):
        for field in _BUDGET:
            here, there = getattr(first.train, field), getattr(other.train, field)
            if here != there:
                flag = field.replace("_", "-")
                raise UserError(
                    f"train.{field}: {here} in {arguments.configs[0]}, {there} in {path}; configs that are searched "
                    f"together share their budget: --train.{flag} sets it for all"
                )


def _space(arguments: SweepArguments, experiment: Experiment[Any]) -> Space:
    if arguments.space is not None:
        space = space_from_file(arguments.space)
    elif arguments.search:
        space = space_from_flags(arguments.search, experiment)
    else:
        space = default_space(experiment)
    return check_space(space, experiment)


if __name__ == "__main__":
    sys.exit(run_command(main))
