"""Bad rows: one names itself and stops the load, or is counted and reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jaxrec.errors import UserError

MAX_EXAMPLES = 5


def shown(value: object, limit: int = 60) -> str:
    """A value as it stands in a message: quoted, on one line, cut to `limit` characters."""
    text = str(value)
    return repr(text if len(text) <= limit else text[:limit] + "…")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One bad row. number: from 1, the header counted, in `unit`s of the file."""

    file: Path
    number: int
    found: str
    allowed: str
    column: str | None = None
    unit: Literal["line", "row"] = "line"

    def __str__(self) -> str:
        column = "" if self.column is None else f", column '{self.column}'"
        return f"{self.file}: {self.unit} {self.number}{column}: found {self.found}; {self.allowed}"


class BadRows:
    """What becomes of bad rows under `data.on_bad_row`; the count and the first examples of those skipped."""

    def __init__(self, policy: Literal["error", "skip"]) -> None:
        self.policy = policy
        self.count = 0
        self.examples: list[str] = []

    def report(self, problems: Sequence[Problem], count: int | None = None) -> None:
        """Take the bad rows of one stretch of a file; `count` where only the first are given.

        Raises UserError on the first of them unless the policy is to skip.
        """
        if not problems:
            return
        ordered = sorted(problems, key=lambda problem: problem.number)
        if self.policy == "error":
            raise UserError(str(ordered[0]))
        self.count += len(problems) if count is None else count
        room = MAX_EXAMPLES - len(self.examples)
        self.examples.extend(str(problem) for problem in ordered[:room])
