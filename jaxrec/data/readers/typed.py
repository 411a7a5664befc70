"""From columns of text to ids, ratings, times and behaviours, with every row that does not fit named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from jaxrec.data.readers.problems import MAX_EXAMPLES, Problem, shown

TimeUnit = Literal["seconds", "milliseconds", "date"]

_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S%.f")
_ALLOWED_TIMES = {
    "seconds": "a number of seconds or a date like 2018-01-31 is needed",
    "milliseconds": "a number of milliseconds is needed",
    "date": "a date like 2018-01-31 or 2018-01-31 23:59:59 is needed",
}
_LARGEST_TIME = float(1 << 62)


def _numbers(text: pl.Series) -> pl.Series:
    """Float64, null where the text is no finite number."""
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count():
        numbers = text.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def _ratings(text: pl.Series) -> pl.Series:
    ratings = _numbers(text).cast(pl.Float32)
    return ratings.set(~ratings.is_finite(), None)


def _times(text: pl.Series, unit: TimeUnit) -> pl.Series:
    """Int64 seconds, null where the text is no time."""
    if unit == "date":
        return _dates(text, pl.Series(text.name, [None] * len(text), dtype=pl.Int64))
    times = text.cast(pl.Int64, strict=False)
    if times.null_count():
        numbers = _numbers(text)
        numbers = numbers.set(numbers.abs() > _LARGEST_TIME, None)
        times = times.fill_null(numbers.floor().cast(pl.Int64))
    # Tables of many sources, such as Yelp's as CSV, have dates.
    return _dates(text, times) if unit == "seconds" else times // 1000


def _dates(text: pl.Series, times: pl.Series) -> pl.Series:
    """The times with those that are missing read as dates, taken as UTC."""
    for date_format in _DATE_FORMATS:
        if not times.null_count():
            break
        parsed = text.str.strip_chars().str.to_datetime(date_format, strict=False, time_unit="ms")
        times = times.fill_null(parsed.dt.epoch("s"))
    return times


def _words(text: pl.Series) -> pl.Series:
    """Null where the text is empty or blank, or ends with a null character, which NumPy would drop."""
    return text.set((text.str.strip_chars() == "") | text.str.ends_with("\0"), None)


def typed(
    frame: pl.DataFrame,
    names: Mapping[str, str],
    file: Path,
    unit: Literal["line", "row"] = "line",
    time_unit: TimeUnit = "seconds",
) -> tuple[pl.DataFrame, list[Problem], int]:
    """Good rows of a stretch of a file; the first bad ones; how many there are.

    frame: String columns user, item and where present rating, timestamp, behavior, review; `line` UInt32. names: what
    the file calls them. Result: user, item, behavior String, review String (null where there is none), rating
    Float32, timestamp Int64 seconds, line UInt32.
    """
    columns = {"user": _words(frame["user"]), "item": _words(frame["item"])}
    allowed = {"user": "a non-empty id is needed", "item": "a non-empty id is needed"}
    if "rating" in frame:
        columns["rating"], allowed["rating"] = _ratings(frame["rating"]), "a number is needed"
    if "timestamp" in frame:
        columns["timestamp"], allowed["timestamp"] = _times(frame["timestamp"], time_unit), _ALLOWED_TIMES[time_unit]
    if "behavior" in frame:
        columns["behavior"], allowed["behavior"] = _words(frame["behavior"]), "a behaviour name is needed"

    flawed = [name for name, values in columns.items() if values.null_count()]
    if "review" in frame:
        columns["review"] = frame["review"].set(frame["review"].str.strip_chars() == "", None)
    result = pl.DataFrame([*(values.alias(name) for name, values in columns.items()), frame["line"]])
    if not flawed:
        return result, [], 0
    bad = pl.DataFrame([columns[name].is_null() for name in flawed]).select(pl.any_horizontal(pl.all())).to_series()
    problems: list[Problem] = []
    for row in bad.arg_true().head(MAX_EXAMPLES).to_list():
        name = next(name for name in flawed if columns[name][row] is None)
        value = frame[name][row]
        found = "nothing" if value is None else shown(value)
        problems.append(Problem(file, int(frame["line"][row]), found, allowed[name], names[name], unit))
    return result.filter(~bad), problems, int(bad.sum())
