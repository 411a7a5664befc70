"""MovieLens `.dat` files: fields separated by `::`, no header."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.blocks import read_text
from jaxrec.data.readers.delimited import Layout, read_delimited
from jaxrec.data.readers.metadata import ItemMetadata
from jaxrec.data.readers.problems import BadRows, Problem

_RATINGS = Layout(
    names=("user", "movie", "rating", "timestamp"),
    columns={"user": 0, "item": 1, "rating": 2, "timestamp": 3},
    separator="::",
    has_header=False,
)


def read_ratings(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """`user::movie::rating::timestamp` a line."""
    del config
    return read_delimited(path, _RATINGS, bad)


def read_movies(path: Path, bad: BadRows) -> list[ItemMetadata]:
    """`movie::title::genre|genre` a line; genres become categories."""
    movies = []
    for number, line in enumerate(read_text(path).rstrip("\r\n").split("\n"), start=1):
        fields = line.rstrip("\r").split("::")
        if len(fields) != 3 or not fields[0].strip():
            found = f"{len(fields)} fields" if line.strip() else "an empty line"
            bad.report([Problem(path, number, found, "3 fields are needed (movie, title, genres)")])
            continue
        raw_id, title, genres = fields
        movies.append(ItemMetadata(raw_id, title=title.strip(), categories=tuple(genres.strip().split("|"))))
    return movies
