"""The command `python -m jaxrec.bench`: workloads, goals, tables and comparisons, a command each."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import NoReturn, Protocol

from jaxrec.compiler_flags import set_compiler_flags
from jaxrec.errors import UserError

COMMANDS = ("list", "run", "goals", "table", "compare", "growth", "scaling")
"""Each a module `jaxrec.bench.commands.<name>_command` with what `Command` says. None touches a device on import."""


class Command(Protocol):
    """What a command's module offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The command's own flags."""
        ...

    def execute(self, options: argparse.Namespace) -> int:
        """Do it; the exit status."""
        ...


class _Parser(argparse.ArgumentParser):
    """Errors as one line of the form that every command has."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"bench: {message}")


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 where a comparison fails or a check or goal does not hold, 2 for the user's mistake."""
    set_compiler_flags()
    try:
        options = make_parser().parse_args(arguments)
        return options.execute(options)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns holds `execute`."""
    parser = _Parser(prog="python -m jaxrec.bench", description=__doc__, allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command: Command = importlib.import_module(f"jaxrec.bench.commands.{name}_command")  # type: ignore[assignment]
        own = subparsers.add_parser(name, help=command.HELP, description=command.HELP, allow_abbrev=False)
        command.add_arguments(own)
        own.set_defaults(execute=command.execute)
    return parser


if __name__ == "__main__":
    sys.exit(main())
