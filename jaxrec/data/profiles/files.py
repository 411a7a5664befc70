"""Profiles on disk: `profiles.parquet`, a row a user, and `fields.json`, what its columns are.

The column `user` holds raw ids; `field:NAME` the name of a category, `number:NAME` a number or null where it is
unknown. fields.json lists {"name", "categories", "source"} of categories, "unknown" first, and {"name", "source"} of
numbers.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxrec.data.interactions import IdMap
from jaxrec.data.profiles.table import UNKNOWN, Columns, Field, NumberField, Profiles, join
from jaxrec.errors import UserError

if TYPE_CHECKING:
    import polars as pl

TABLE, FIELDS = "profiles.parquet", "fields.json"


def write_profiles(folder: Path, profiles: Profiles, users: IdMap) -> None:
    """Both files, into a folder that is there."""
    import polars as pl

    columns = {"user": pl.Series(users.raw.tolist(), dtype=pl.String)}
    for place, field in enumerate(profiles.fields):
        categories = [field.categories[code] for code in profiles.codes[:, place].tolist()]
        columns[f"field:{field.name}"] = pl.Series(categories, dtype=pl.String)
    for place, field in enumerate(profiles.number_fields):
        columns[f"number:{field.name}"] = pl.Series(profiles.numbers[:, place], dtype=pl.Float64).fill_nan(None)
    pl.DataFrame(columns).write_parquet(folder / TABLE)
    fields = [dataclasses.asdict(field) for field in (*profiles.fields, *profiles.number_fields)]
    (folder / FIELDS).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def read_profiles(folder: str | Path, users: IdMap) -> Profiles:
    """The table in the order of the id map; users that it does not hold are unknown in every field.

    Raises: UserError where a file is missing or damaged, a column is of another type or not finite, a user stands
    twice, or none of the users is in it.
    """
    import polars as pl

    path = Path(folder).expanduser() / TABLE
    try:
        frame = pl.read_parquet(path)
        fields = [_field(one) for one in json.loads(path.with_name(FIELDS).read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: not a whole table of profiles ({(str(error).splitlines() or ['?'])[0]})") from error
    names = [f"{'field' if isinstance(field, Field) else 'number'}:{field.name}" for field in fields]
    if frame.columns != ["user", *names]:
        needed = ", ".join(["user", *names])
        raise UserError(f"{path}: columns {', '.join(frame.columns)}; {needed} are needed, as {FIELDS} says")
    for name in ("user", *names):
        number = name.startswith("number:")
        if not (frame[name].dtype.is_numeric() if number else frame[name].dtype == pl.String):
            raise UserError(f"{path}: column {name} is {frame[name].dtype}; {'numbers' if number else 'texts'} needed")
    places = _places(path, frame["user"].to_list(), users)
    known = places >= 0
    columns: Columns = []
    for field, name in zip(fields, names, strict=True):
        values = _codes(path, field, frame[name]) if isinstance(field, Field) else _numbers(path, field, frame[name])
        column = np.full(len(users), 0 if isinstance(field, Field) else np.nan, values.dtype)
        column[places[known]] = values[known]
        columns.append((field, column))
    return join(columns, len(users))


def _field(one: dict) -> Field | NumberField:
    if "categories" not in one:
        return NumberField(str(one["name"]), str(one["source"]))
    categories = tuple(map(str, one["categories"]))
    if categories[:1] != (UNKNOWN,) or len(set(categories)) != len(categories):
        raise ValueError(f"field {one['name']}: categories must begin with {UNKNOWN!r}, each once")
    return Field(str(one["name"]), categories, str(one["source"]))


def _places(path: Path, raw: list[str | None], users: IdMap) -> np.ndarray:
    """Integer id of each row's user, -1 where the data set does not have them."""
    seen: set[str | None] = {None}
    for row, user in enumerate(raw):
        if user in seen:
            raise UserError(f"{path}: row {row + 1}: user {user!r}; each is needed once")
        seen.add(user)
    places = users.encode([str(user) for user in raw])
    if not (places >= 0).any():
        raise UserError(f"{path}: none of its {len(places)} users is among the {len(users)} of the data set")
    return places


def _codes(path: Path, field: Field, column: pl.Series) -> np.ndarray:
    of = {category: place for place, category in enumerate(field.categories)}
    codes = np.zeros(len(column), np.int32)
    for row, value in enumerate(column.to_list()):
        if value not in of:
            raise UserError(f"{path}: row {row + 1}, {field.name}: found {value!r}, which {FIELDS} does not list")
        codes[row] = of[value]
    return codes


def _numbers(path: Path, field: NumberField, column: pl.Series) -> np.ndarray:
    given = ~column.is_null().to_numpy()
    values = np.full(len(column), np.nan)
    values[given] = column.drop_nulls().to_numpy()
    wrong = np.flatnonzero(given & ~np.isfinite(values))
    if len(wrong):
        row = int(wrong[0])
        raise UserError(
            f"{path}: row {row + 1}, {field.name}: found {values[row]}; a finite number, or null if unknown"
        )
    return values
