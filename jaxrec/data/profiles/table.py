"""A table of fields of users, categories and numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jaxrec.errors import UserError

UNKNOWN = "unknown"
_MOST_CATEGORIES = 1000


@dataclasses.dataclass(frozen=True)
class Field:
    """categories: the first is always UNKNOWN, which missing values and unseen ones belong to. source: in words."""

    name: str
    categories: tuple[str, ...]
    source: str


@dataclasses.dataclass(frozen=True)
class NumberField:
    """A field whose values are numbers. source: in words."""

    name: str
    source: str


Columns = list[tuple[Field | NumberField, np.ndarray]]
"""Fields with a value a user: codes [U] int32 of categories, [U] float64 of numbers, NaN where unknown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Profiles:
    """codes: [U, N] int32, for each user and field an index into its categories; 0 is unknown.

    numbers: [U, M] float64, for each user and number field its value as given; NaN is unknown.
    """

    fields: tuple[Field, ...]
    codes: np.ndarray
    number_fields: tuple[NumberField, ...]
    numbers: np.ndarray

    def column(self, name: str) -> np.ndarray | None:
        """The codes [U] of a field, None where there is no such field."""
        place = next((place for place, field in enumerate(self.fields) if field.name == name), None)
        return None if place is None else self.codes[:, place]

    def described(self, user: int) -> dict[str, str]:
        """By field the category or the number of a user, the unknown ones left out."""
        row = self.codes[user].tolist()
        categories = {f.name: f.categories[code] for f, code in zip(self.fields, row, strict=True) if code}
        values = zip(self.number_fields, self.numbers[user].tolist(), strict=True)
        return categories | {f.name: f"{value:g}" for f, value in values if not math.isnan(value)}


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


def join(columns: Columns, num_users: int) -> Profiles:
    """The columns as one table. Raises: UserError where a name stands twice."""
    names = [field.name for field, _ in columns]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"profiles: field {name} is given by two sources; each name is needed once")
    of_categories = [(field, column) for field, column in columns if isinstance(field, Field)]
    of_numbers = [(field, column) for field, column in columns if isinstance(field, NumberField)]
    codes = np.zeros((num_users, len(of_categories)), np.int32)
    for place, (_, column) in enumerate(of_categories):
        codes[:, place] = column
    numbers = np.zeros((num_users, len(of_numbers)))
    for place, (_, column) in enumerate(of_numbers):
        numbers[:, place] = column
    return Profiles(tuple(field for field, _ in of_categories), codes, tuple(field for field, _ in of_numbers), numbers)
