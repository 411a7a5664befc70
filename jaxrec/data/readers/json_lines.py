"""Files with one object a line: JSON, or the Python literals of some older public sets."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jaxrec.data.readers.blocks import Block, read_blocks, read_head
from jaxrec.data.readers.problems import BadRows, Problem, shown
from jaxrec.data.readers.typed import TimeUnit, typed
from jaxrec.errors import UserError

_NESTED = r"^[\[{]"
_FIRST_LINES = 100


@dataclasses.dataclass(frozen=True)
class Fields:
    """Names of the fields of one event; rating and timestamp are read where one of the first lines has them.

    review: the field of the text, which any line may lack.
    """

    user: str
    item: str
    rating: str | None = None
    timestamp: str | None = None
    time_unit: TimeUnit = "seconds"
    review: str | None = None

    def names(self, keys: Sequence[str], reviews: bool = False) -> dict[str, str]:
        """user, item, of rating and timestamp those among `keys`, and the review where it is wanted -> field."""
        optional = {"rating": self.rating, "timestamp": self.timestamp}
        present = {name: field for name, field in optional.items() if field is not None and field in keys}
        if reviews and self.review is not None:
            present["review"] = self.review
        return {"user": self.user, "item": self.item, **present}


def parse_object(line: str) -> dict[str, Any] | None:
    """The object of one line, JSON or a Python literal; None where it is neither."""
    try:
        value = json.loads(line)
    except ValueError:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def first_object(path: Path) -> dict[str, Any]:
    """The first line's object. Raises UserError where the file is empty or the line is no object."""
    head = read_head(path, 1 << 20)
    if not head.strip():
        raise UserError(f"{path}: found 0 rows in an empty file; one JSON object a line is needed")
    line = head.split(b"\n", 1)[0].decode(errors="replace")
    value = parse_object(line)
    if value is None:
        raise UserError(str(_corrupt(path, 1, line)))
    return value


def pick_fields(path: Path, layouts: Sequence[Fields], source: str) -> Fields:
    """The first layout whose user and item fields the first line has. Raises UserError where none fits."""
    keys = first_object(path)
    for fields in layouts:
        if fields.user in keys and fields.item in keys:
            return fields
    allowed = " or ".join(f"{fields.user} and {fields.item}" for fields in layouts)
    raise UserError(f"{path}: line 1: found fields {', '.join(map(str, keys))}; {source} needs {allowed}")


def read_events(path: Path, fields: Fields, bad: BadRows, reviews: bool = False) -> pl.DataFrame:
    """All good events: columns as `typed` gives them. Raises UserError on a bad line unless `bad` skips them."""
    names = fields.names(_first_keys(path), reviews)
    frames: list[pl.DataFrame] = []
    for block in read_blocks(path):
        problems: list[Problem] = []
        frame = _parse_in_bulk(block, names)
        if frame is None:
            frame = _parse_by_line(block, names, path, problems)
        frame, untyped, count = typed(frame, names, path, time_unit=fields.time_unit)
        bad.report([*problems, *untyped], len(problems) + count)
        frames.append(frame)
    return pl.concat(frames)


def read_objects(path: Path, bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line of a file of any size."""
    for block in read_blocks(path):
        for number, line in enumerate(_lines(block), start=block.first_line):
            value = parse_object(line)
            if value is None:
                bad.report([_corrupt(path, number, line)])
            else:
                yield number, value


def _first_keys(path: Path) -> tuple[str, ...]:
    """Fields that one of the first lines has: a first line without a time must not leave out the times of all."""
    first = tuple(first_object(path))
    lines = read_head(path, 1 << 20).decode(errors="replace").split("\n")[1:_FIRST_LINES]
    others = [parse_object(line) for line in lines if line.lstrip().startswith("{")]
    return tuple(dict.fromkeys([*first, *(key for found in others if found is not None for key in found)]))


def _lines(block: Block) -> list[str]:
    return block.data.decode(errors="replace").split("\n")[:-1]


def _corrupt(path: Path, number: int, line: str) -> Problem:
    found = f"{shown(line.strip())}, which is not a JSON object" if line.strip() else "an empty line"
    return Problem(path, number, found, "one JSON object a line is needed")


def _parse_in_bulk(block: Block, names: dict[str, str]) -> pl.DataFrame | None:
    try:
        frame = pl.read_ndjson(io.BytesIO(block.data), schema=dict.fromkeys(names.values(), pl.String))
    except pl.exceptions.PolarsError:
        return None
    rows = block.num_lines
    if len(frame) != rows:
        return None
    frame = frame.select(pl.col(field).alias(name) for name, field in names.items())
    if any(frame[name].str.contains(_NESTED).any() for name in ("user", "item")):
        return None
    lines = pl.int_range(block.first_line, block.first_line + rows, dtype=pl.UInt32, eager=True)
    return frame.with_columns(lines.alias("line"))


def _parse_by_line(block: Block, names: dict[str, str], file: Path, problems: list[Problem]) -> pl.DataFrame:
    columns: dict[str, list[str | None]] = {name: [] for name in names}
    numbers: list[int] = []
    for number, line in enumerate(_lines(block), start=block.first_line):
        value = parse_object(line)
        if value is None:
            problems.append(_corrupt(file, number, line))
            continue
        nested = next(
            (field for name, field in names.items() if name != "review" and isinstance(value.get(field), dict | list)),
            None,
        )
        if nested is not None:
            problems.append(Problem(file, number, shown(value[nested]), "text or a number is needed", nested))
            continue
        for name, field in names.items():
            entry = value.get(field)
            if isinstance(entry, dict | list):
                entry = json.dumps(entry, ensure_ascii=False)  # as the bulk parser gives it
            # Half a surrogate pair in a text, as cut reviews end with, is no UTF-8.
            columns[name].append(None if entry is None else str(entry).encode("utf-8", "replace").decode())
        numbers.append(number)
    schema = {**dict.fromkeys(names, pl.String), "line": pl.UInt32}
    return pl.DataFrame({**columns, "line": numbers}, schema=schema)
