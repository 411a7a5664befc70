"""Arguments of a command whose flags are its own; a mistake is a UserError of one line, not a usage text."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from jaxrec.errors import UserError


class Arguments(argparse.ArgumentParser):
    """An argument parser without abbreviations that names the nearest flag."""

    def __init__(self, program: str, description: str) -> None:
        super().__init__(prog=f"python -m {program}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise UserError instead of printing the usage and leaving."""
        raise UserError(message)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments; UserError for an unknown flag, with the nearest one, and for a wrong value."""
        known, unknown = self.parse_known_args(argv)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], flags, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(flags)}"
            raise UserError(f"{unknown[0]}: no such flag; {hint}")
        return known
