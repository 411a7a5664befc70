"""A table of categorical fields of users, in memory and on disk: `profiles.parquet` and `fields.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrec.data.interactions import IdMap
from jaxrec.errors import UserError

UNKNOWN = "unknown"
TABLE, FIELDS = "profiles.parquet", "fields.json"
_MOST_CATEGORIES = 1000


@dataclasses.dataclass(frozen=True)
class Field:
    """categories: the first is always UNKNOWN, which missing values and unseen ones belong to. source: in words."""

    name: str
    categories: tuple[str, ...]
    source: str


@dataclasses.dataclass(frozen=True, eq=False)
class Profiles:
    """codes: [U, N] int32, for each user and field an index into its categories; 0 is unknown."""

    fields: tuple[Field, ...]
    codes: np.ndarray

    def column(self, name: str) -> np.ndarray | None:
        """The codes [U] of a field, None where there is no such field."""
        place = next((place for place, field in enumerate(self.fields) if field.name == name), None)
        return None if place is None else self.codes[:, place]

    def described(self, user: int) -> dict[str, str]:
        """By field the category of a user, the unknown ones left out."""
        row = self.codes[user].tolist()
        return {f.name: f.categories[code] for f, code in zip(self.fields, row, strict=True) if code}


def field_of(
    name: str, source: str, values: Sequence[str | None], order: Sequence[str] = ()
) -> tuple[Field, np.ndarray]:
    """A field out of a value a user, None or "" where it is missing, and its codes [U] int32.

    order: categories that come first, whether or not anybody has them; others follow sorted.
    Raises: UserError where there are too many different values to be categories.
    """
    rest = sorted({value for value in values if value} - set(order) - {UNKNOWN})
    categories = tuple(dict.fromkeys((UNKNOWN, *order, *rest)))
    if len(categories) > _MOST_CATEGORIES:
        raise UserError(
            f"profiles: field {name}: found {len(categories) - 1} different values, allowed: fewer than "
            f"{_MOST_CATEGORIES}; put numbers into groups"
        )
    places = {category: place for place, category in enumerate(categories)}
    return Field(name, categories, source), np.array([places[value] if value else 0 for value in values], np.int32)


def join(columns: Sequence[tuple[Field, np.ndarray]], num_users: int) -> Profiles:
    """The columns as one table. Raises: UserError where a name stands twice."""
    names = [field.name for field, _ in columns]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"profiles: field {name} is given by two sources; each name is needed once")
    codes = np.zeros((num_users, len(columns)), np.int32)
    for place, (_, column) in enumerate(columns):
        codes[:, place] = column
    return Profiles(tuple(field for field, _ in columns), codes)


def write_profiles(folder: Path, profiles: Profiles, users: IdMap) -> None:
    """One row a user: `user`, the raw id, and each field by the name of its category; and the fields as JSON."""
    import polars as pl

    columns: dict[str, list[str]] = {"user": users.raw.tolist()}
    for place, field in enumerate(profiles.fields):
        columns[f"field:{field.name}"] = [field.categories[code] for code in profiles.codes[:, place].tolist()]
    pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).write_parquet(folder / TABLE)
    fields = [dataclasses.asdict(field) for field in profiles.fields]
    (folder / FIELDS).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def read_profiles(folder: str | Path, users: IdMap) -> Profiles:
    """The table in the order of the id map; users that it does not hold are unknown in every field.

    Raises: UserError where a file is missing or damaged, or none of the users is in it.
    """
    import polars as pl

    path = Path(folder).expanduser() / TABLE
    try:
        frame = pl.read_parquet(path)
        raw = json.loads(path.with_name(FIELDS).read_text(encoding="utf-8"))
        fields = tuple(Field(str(f["name"]), tuple(map(str, f["categories"])), str(f["source"])) for f in raw)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: not a whole table of profiles ({(str(error).splitlines() or ['?'])[0]})") from error
    wanted = ["user", *(f"field:{field.name}" for field in fields)]
    if frame.columns != wanted:
        raise UserError(f"{path}: columns {', '.join(frame.columns)}; {', '.join(wanted)} are needed, as {FIELDS} says")
    places = users.encode(frame["user"].to_list())
    if not (places >= 0).any():
        raise UserError(f"{path}: none of its {len(places)} users is among the {len(users)} of the data set")
    codes = np.zeros((len(users), len(fields)), np.int32)
    for column, field in enumerate(fields):
        of = {category: place for place, category in enumerate(field.categories)}
        for row, (place, value) in enumerate(zip(places.tolist(), frame[wanted[column + 1]].to_list(), strict=True)):
            if value not in of:
                raise UserError(f"{path}: row {row + 1}, {field.name}: found {value!r}, which {FIELDS} does not list")
            if place >= 0:
                codes[place, column] = of[value]
    return Profiles(fields, codes)
