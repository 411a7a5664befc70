"""Rec-Tmall (Tianchi 140281): a log of clicks, collections, carts and purchases, and a table of products.

Published as text without a header, fields separated by the control character 1, the log in several files; and as a
sample of comma-separated files with a header. Both are read, in UTF-8 or GB 18030.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.blocks import read_blocks, read_head
from jaxrec.data.readers.delimited import Layout, read_delimited
from jaxrec.data.readers.metadata import ItemMetadata, as_text
from jaxrec.data.readers.problems import BadRows, Problem

SEPARATOR = "\x01"
_LOG = ("item_id", "user_id", "action", "vtime")
_PRODUCT = ("item_id", "title", "pict_url", "category", "brand_id", "seller_id")
_NOTHING = ("", "null", "\\n")


def is_log(first_line: bytes) -> bool:
    """Whether a file holds the log, told from its first line."""
    separator = _separator(first_line)
    fields = first_line.rstrip(b"\r\n").split(separator.encode())
    return len(fields) == len(_LOG) and (separator == SEPARATOR or _names(fields) == _LOG)


def read_log(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """Item, user, action (click, collect, cart, alipay) and time, taken as UTC, a row."""
    del config
    line = read_head(path).split(b"\n", 1)[0]
    separator = _separator(line)
    layout = Layout(
        names=_LOG,
        columns={"item": 0, "user": 1, "behavior": 2, "timestamp": 3},
        separator=separator,
        quote="" if separator == SEPARATOR else '"',
        has_header=_names(line.rstrip(b"\r").split(separator.encode())) == _LOG,
        time_unit="date",
    )
    return read_delimited(path, layout, bad)


def read_products(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """Titles as text; brand, seller and category, which are ids, as fields."""
    separator = _separator(read_head(path).split(b"\n", 1)[0])
    needed = f"{len(_PRODUCT)} fields are needed ({', '.join(_PRODUCT)})"
    for block in read_blocks(path):
        text = _decoded(block.data)
        rows = (
            (line.rstrip("\r").split(SEPARATOR) for line in text.split("\n")[:-1])
            if separator == SEPARATOR
            else csv.reader(io.StringIO(text, newline=""))
        )
        for number, row in enumerate(rows, start=block.first_line):
            if number == 1 and tuple(field.strip().lower() for field in row) == _PRODUCT:
                continue
            if len(row) != len(_PRODUCT) or not row[0].strip():
                found = f"{len(row)} field{'s' * (len(row) != 1)}" if len(row) != len(_PRODUCT) else "no item id"
                bad.report([Problem(path, number, found, needed)])
                continue
            item, title, picture, category, brand, seller = (_known(field) for field in row)
            fields = (("brand", brand), ("seller", seller), ("category", category))
            yield ItemMetadata(item, title=as_text(title), image=picture, fields=fields)


def _separator(line: bytes) -> str:
    return SEPARATOR if SEPARATOR.encode() in line else ","


def _names(fields: list[bytes]) -> tuple[str, ...]:
    return tuple(field.decode(errors="replace").strip().strip('"').lower() for field in fields)


def _known(field: str) -> str:
    field = field.strip()
    return "" if field.lower() in _NOTHING else field


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("gb18030", errors="replace")
