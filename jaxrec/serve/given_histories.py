"""Histories as a command is given them, `RAW_ID,RAW_ID` or `RAW_ID:5,RAW_ID:1`, one user or one behaviour each."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence

from jaxrec.data.interactions import IdMap
from jaxrec.errors import UserError


def read_histories(given: Sequence[str], behaviors: Sequence[str]) -> list[dict[str, list[str]]]:
    """One dict of raw ids by behaviour a user; "" is the target. An id with a comma stands in double quotes.

    behaviors: of the data, () where there is one kind alone; with several, all that is given is of one user, as
    NAME=RAW_ID,RAW_ID. Raises: UserError for a behaviour that is given twice.
    """
    read: list[tuple[str, list[str]]] = []
    for text in given:
        name, equals, rest = text.partition("=")
        behavior, ids = (name, rest) if equals and name in behaviors else ("", text)
        row = next(csv.reader([ids], skipinitialspace=True), [])
        read.append((behavior, [raw.strip() for raw in row if raw.strip()]))
    if not behaviors:
        return [{"": ids} for _, ids in read]
    one: dict[str, list[str]] = {}
    for behavior, ids in read:
        if behavior in one:
            raise UserError(
                f"--history: found {behavior or 'the behaviour that is recommended'} twice, allowed: one user, with "
                f"NAME=RAW_ID,RAW_ID once for each of {', '.join(behaviors)}"
            )
        one[behavior] = ids
    return [one]


def split_ratings(given: Sequence[str], items: IdMap) -> tuple[list[str], list[float]]:
    """Raw ids, and the number behind the last colon of each, NaN where there is none.

    What is an id as it stands has no rating, whatever colons it holds.
    """
    ids, ratings = [], []
    for text, known in zip(given, items.encode(list(given)).tolist(), strict=True):
        raw, colon, number = text.rpartition(":")
        rating = _number(number) if colon and known < 0 else math.nan
        ids.append(text if math.isnan(rating) else raw)
        ratings.append(rating)
    return ids, ratings


def _number(text: str) -> float:
    """A finite number, NaN of any other text."""
    try:
        found = float(text)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan
