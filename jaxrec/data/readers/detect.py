"""Which format a file has, told from its content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jaxrec.data.readers import amazon, kuaishou, rectmall, steam, yelp
from jaxrec.data.readers.blocks import base_name, read_head
from jaxrec.data.readers.json_lines import Fields, first_object
from jaxrec.data.readers.tables import RECBOLE_TYPES
from jaxrec.errors import UserError

FORMATS = (
    "csv", "tsv", "parquet", "recbole", "adjacency", "sequences", "movielens", "amazon", "yelp", "steam", "rectmall",
    "kuaishou",
)  # fmt: skip

_JSON_SOURCES: tuple[tuple[str, Sequence[Fields]], ...] = (
    ("amazon", amazon.REVIEWS),
    ("yelp", yelp.REVIEWS),
    ("steam", steam.REVIEWS),
)
_ID_LINE = re.compile(rb"[0-9]+( +[0-9]+)* *\r?")
_LINES_SEEN = 50


def detect_format(path: Path, divided: bool = False) -> str:
    """One of FORMATS. divided: the file is the train, valid or test part of a folder.

    Adjacency and sequence text look alike: a file named `sequences*` holds sequences, one of a divided folder
    adjacency, any other must be declared. Raises UserError where nothing fits.
    """
    head = read_head(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if not head.strip():
        raise UserError(f"{path}: found 0 rows in an empty file; at least one interaction is needed")
    if b"\0" in head.split(b"\n", 1)[0]:
        raise UserError(f"{path}: found binary content; UTF-8 text, plain or gzip, or Parquet is needed")
    if head.lstrip().startswith(b"{"):
        return _json_source(path)
    lines = head.split(b"\n")
    # The last line may be cut off.
    seen = [line for line in (lines[:-1] or lines)[:_LINES_SEEN] if line.strip()] or lines[:1]
    # Most lines, not all: one that does not fit is for the reader to name.
    fitting = [line for line in seen if _ID_LINE.fullmatch(line)]
    if 2 * len(fitting) > len(seen) and any(b" " in line.strip() for line in fitting):
        return _id_lists(path, divided)
    if seen[0].count(b"::") >= 2:
        return "movielens"
    if rectmall.is_log(seen[0]):
        return "rectmall"
    if kuaishou.is_interactions(seen[0]):
        return "kuaishou"
    kinds = [field.strip().rpartition(b":")[2].decode(errors="replace") for field in seen[0].split(b"\t")]
    if b":" in seen[0] and all(kind in RECBOLE_TYPES for kind in kinds):
        return "recbole"
    if b"\t" in seen[0]:
        return "tsv"
    if b"," in seen[0]:
        return "csv"
    raise UserError(f"{path}: the format is not recognised; set --data.format to one of {', '.join(FORMATS)}")


def _id_lists(path: Path, divided: bool) -> str:
    if base_name(path).startswith("sequences"):
        return "sequences"
    if divided:
        return "adjacency"
    raise UserError(
        f"{path}: found lines of ids, which may be in the order of time or in none; "
        "set --data.format sequences or --data.format adjacency"
    )


def _json_source(path: Path) -> str:
    keys = first_object(path)
    for source, layouts in _JSON_SOURCES:
        for fields in layouts:
            if {fields.user, fields.item, fields.rating or fields.timestamp} <= set(keys):
                return source
    found = ", ".join(map(str, keys))
    raise UserError(f"{path}: line 1: found fields {found}; reviews of amazon, yelp or steam are known as JSON lines")
