"""Income level out of occupation and place by a table of rules (UiM Eq. 2; the reading of MODELS: a lookup).

The paper adds the embeddings of place, occupation and "external knowledge" and labels the sum. Here the knowledge is
a TOML file, so that it can be read, disputed and replaced:

    levels = ["low", "middle", "high"]        lowest first
    [occupation]                              a level (from 0) for each occupation that says something
    "lawyer" = 2
    [place]                                   how far a place moves it: -1, 0 or 1 (optional)
    "capital" = 1

An occupation that the table does not hold gives an unknown income; a place that it does not hold moves nothing.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import numpy as np

from jaxrec.data.profiles.table import Field, Profiles, field_of
from jaxrec.data.source import digest
from jaxrec.errors import UserError

SHIPPED = Path(__file__).parent / "income"
_KEYS = {"levels", "occupation", "place"}


@dataclasses.dataclass(frozen=True)
class IncomeTable:
    """occupation: level of each. place: what each adds. sha256: of all of it."""

    name: str
    levels: tuple[str, ...]
    occupation: dict[str, int]
    place: dict[str, int]
    sha256: str

    def level(self, occupation: str | None, place: str | None) -> str | None:
        """f of Eq. 2. None where the occupation tells nothing."""
        base = self.occupation.get(occupation or "")
        if base is None:
            return None
        moved = base + self.place.get(place or "", 0)
        return self.levels[min(max(moved, 0), len(self.levels) - 1)]


def read_income_table(name: str) -> IncomeTable:
    """A shipped table (ml1m, sample) or a TOML file. Raises: UserError where it is not of the form above."""
    shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    path = SHIPPED / f"{name}.toml" if name in shipped else Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"profiles.income_table: {name} is no file; allowed: {', '.join(shipped)}, or a TOML file")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as TOML ({str(error).splitlines()[0]})") from error
    unknown = sorted(set(value) - _KEYS)
    if unknown:
        raise UserError(f"{path}: found {unknown[0]!r}; allowed: levels, occupation, place")
    levels = value.get("levels")
    if not isinstance(levels, list) or len(levels) < 2 or not all(isinstance(level, str) for level in levels):
        raise UserError(f"{path}: levels: found {levels!r}; a list of at least two names, lowest first, is needed")
    if len(set(levels)) != len(levels):
        raise UserError(f"{path}: levels: found {levels!r}; each name is needed once")
    occupation = _numbers(path, "occupation", value.get("occupation"), 0, len(levels) - 1)
    place = _numbers(path, "place", value.get("place", {}), -1, 1)
    return IncomeTable(path.stem, tuple(levels), occupation, place, digest([levels, occupation, place]))


def income_field(table: IncomeTable, profiles: Profiles) -> tuple[Field, np.ndarray] | None:
    """The field `income` of every user; None where the profiles hold no occupation."""
    if profiles.column("occupation") is None:
        return None
    said = [profiles.described(user) for user in range(len(profiles.codes))]
    values = [table.level(traits.get("occupation"), traits.get("location")) for traits in said]
    return field_of("income", f"occupation and place by the table {table.name}", values, table.levels)


def _numbers(path: Path, key: str, value: object, lowest: int, highest: int) -> dict[str, int]:
    if not isinstance(value, dict):
        raise UserError(f"{path}: {key}: found {value!r}; a table of names with whole numbers is needed")
    for name, number in value.items():
        if type(number) is not int or not lowest <= number <= highest:
            raise UserError(f"{path}: {key}.{name}: found {number!r}; a whole number from {lowest} to {highest}")
    return value
