"""CSV, TSV, Parquet and RecBole atomic files: tables with named columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.blocks import read_head
from jaxrec.data.readers.columns import header_fields, resolve_columns
from jaxrec.data.readers.delimited import Layout, read_delimited
from jaxrec.data.readers.problems import BadRows
from jaxrec.data.readers.typed import typed
from jaxrec.errors import UserError

RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")


def read_csv(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """Comma-separated text with a header."""
    return _read_text_table(path, config, bad, ",")


def read_tsv(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """Tab-separated text with a header."""
    return _read_text_table(path, config, bad, "\t")


def _read_text_table(path: Path, config: DataConfig, bad: BadRows, separator: str) -> pl.DataFrame:
    head = read_head(path)
    if not head:
        raise UserError(f"{path}: found 0 rows in an empty file; a header and at least one interaction are needed")
    names = header_fields(path, head, separator)
    layout = Layout(
        tuple(names), resolve_columns(path, names, config.columns, reviews=config.reviews), separator, quote='"'
    )
    return read_delimited(path, layout, bad)


def recbole_header(path: Path) -> dict[str, str]:
    """Column name -> type of a typed header (`user_id:token`). Raises UserError on another type or a repeated name."""
    kinds: dict[str, str] = {}
    for field in header_fields(path, read_head(path), "\t"):
        name, _, kind = field.rpartition(":")
        if not name or kind not in RECBOLE_TYPES:
            allowed = ", ".join(RECBOLE_TYPES)
            raise UserError(f"{path}: line 1: found '{field}'; name:type is needed, the type one of {allowed}")
        if name in kinds:
            raise UserError(f"{path}: line 1: found column '{name}' more than once; each name may stand once")
        kinds[name] = kind
    return kinds


def read_recbole(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """A RecBole `.inter` file: tabs, and a header that gives each column's type."""
    names = list(recbole_header(path))
    columns = resolve_columns(path, names, config.columns, suffix="_id", reviews=config.reviews)
    return read_delimited(path, Layout(tuple(names), columns, "\t"), bad)


def read_parquet(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """A Parquet file; dates and times become seconds, bad rows are numbered from 1."""
    try:
        schema = pl.read_parquet_schema(path)
        columns = resolve_columns(path, list(schema), config.columns, reviews=config.reviews)
        names = {name: list(schema)[index] for name, index in columns.items()}
        frame = pl.read_parquet(path, columns=list(names.values()))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as Parquet ({reason}); a complete Parquet file is needed") from None
    if frame.is_empty():
        raise UserError(f"{path}: found 0 rows; at least one interaction is needed")
    texts = []
    for name, column in names.items():
        kind = schema[column]
        if kind.is_nested() or kind == pl.Binary:
            raise UserError(f"{path}: column '{column}': found type {kind}; text or numbers are needed")
        values = frame[column]
        if name == "timestamp" and kind in (pl.Date, pl.Datetime):
            values = values.dt.epoch("s")
        texts.append(values.cast(pl.String).alias(name))
    lines = pl.int_range(1, len(frame) + 1, dtype=pl.UInt32, eager=True).alias("line")
    frame, problems, count = typed(pl.DataFrame([*texts, lines]), names, path, unit="row")
    bad.report(problems, count)
    return frame
