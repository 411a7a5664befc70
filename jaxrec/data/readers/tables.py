"""CSV, TSV, Parquet and RecBole atomic files: tables with named columns."""

from __future__ import annotations

from collections.abc import Iterator
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
    return read_delimited(path, table_layout(path, config, separator), bad)


def table_layout(path: Path, config: DataConfig, separator: str) -> Layout:
    """Where the columns of a text table with a header are."""
    head = read_head(path)
    if not head:
        raise UserError(f"{path}: found 0 rows in an empty file; a header and at least one interaction are needed")
    names = header_fields(path, head, separator)
    return Layout(
        tuple(names), resolve_columns(path, names, config.columns, reviews=config.reviews), separator, quote='"'
    )


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
    return pl.concat(parquet_blocks(path, config, bad))


def parquet_blocks(path: Path, config: DataConfig, bad: BadRows, rows: int | None = None) -> Iterator[pl.DataFrame]:
    """The same in stretches of so many rows, in order; None: all at once."""
    try:
        schema = pl.read_parquet_schema(path)
        columns = resolve_columns(path, list(schema), config.columns, reviews=config.reviews)
        names = {name: list(schema)[index] for name, index in columns.items()}
        total = pl.scan_parquet(path).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from None
    if not total:
        raise UserError(f"{path}: found 0 rows; at least one interaction is needed")
    for column in names.values():
        kind = schema[column]
        if kind.is_nested() or kind == pl.Binary:
            raise UserError(f"{path}: column '{column}': found type {kind}; text or numbers are needed")
    for first in range(0, total, rows or total):
        try:
            frame = pl.scan_parquet(path).select(*names.values()).slice(first, rows or total).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(path, error) from None
        texts = []
        for name, column in names.items():
            values = frame[column]
            if name == "timestamp" and schema[column] in (pl.Date, pl.Datetime):
                values = values.dt.epoch("s")
            texts.append(values.cast(pl.String).alias(name))
        lines = pl.int_range(first + 1, first + 1 + len(frame), dtype=pl.UInt32, eager=True).alias("line")
        frame, problems, count = typed(pl.DataFrame([*texts, lines]), names, path, unit="row")
        bad.report(problems, count)
        yield frame


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"{path}: cannot be read as Parquet ({reason}); a complete Parquet file is needed")
