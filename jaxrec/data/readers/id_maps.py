"""Declared id maps: a file's own numbering -> the user's raw ids."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from jaxrec.data.readers.blocks import base_name, read_blocks, read_head
from jaxrec.data.readers.json_lines import parse_object
from jaxrec.data.readers.problems import MAX_EXAMPLES, BadRows, Problem, shown
from jaxrec.errors import UserError

Side = Literal["user", "item"]
# The field that holds the file's id; the line's one other field is the raw id.
_KEYS: dict[Side, tuple[str, ...]] = {"item": ("iid",), "user": ("uid",)}


@dataclasses.dataclass(frozen=True)
class DeclaredMap:
    """raw[id in the file] = the user's own id."""

    file: Path
    raw: dict[str, str]


def _side_of(file: Path) -> tuple[Side, str] | None:
    """Which ids a file maps and in what form, told from its name and first line; None where it is no map."""
    name = base_name(file)
    for side, keys in _KEYS.items():
        if name.startswith(f"{side}_") and name.endswith(".jsonl"):
            value = parse_object(read_head(file).split(b"\n", 1)[0].decode(errors="replace")) or {}
            if len(value) == 2 and any(key in value for key in keys):
                return side, "objects"
        if name == f"{side}_list.txt" and read_head(file).split(b"\n", 1)[0].split()[:2] == [b"org_id", b"remap_id"]:
            return side, "list"
    return None


def find_maps(files: Sequence[Path]) -> dict[Side, DeclaredMap]:
    """The maps among the files of a folder, read.

    Known are `item_*.jsonl` ({"iid": 0, "asin": "…"}), `user_*.jsonl` ({"uid": 0, …}), and LightGCN's
    `item_list.txt` and `user_list.txt` (header `org_id remap_id`). Raises UserError on two maps for one side, a bad
    line or a repeated id.
    """
    maps: dict[Side, DeclaredMap] = {}
    for file in files:
        found = _side_of(file)
        if found is None:
            continue
        side, form = found
        if side in maps:
            raise UserError(f"{file}: found a second map of {side} ids beside {maps[side].file.name}; one is allowed")
        maps[side] = DeclaredMap(file, _read_map(file, side, form))
    return maps


def _read_map(file: Path, side: Side, form: str) -> dict[str, str]:
    raw: dict[str, str] = {}
    seen: set[str] = set()
    allowed = "two different ids are needed, each once"
    for block in read_blocks(file):
        for number, line in enumerate(block.data.decode(errors="replace").split("\n")[:-1], start=block.first_line):
            if form == "list":
                if number == 1:
                    continue
                fields = line.split()
                pair = (fields[1], fields[0]) if len(fields) >= 2 else None
            else:
                pair = _pair(line, _KEYS[side])
            if pair is None:
                raise UserError(str(Problem(file, number, shown(line), "a file id and a raw id are needed")))
            if pair[0] in raw or pair[1] in seen:
                repeated = pair[0] if pair[0] in raw else pair[1]
                raise UserError(str(Problem(file, number, f"{shown(repeated)} again", allowed)))
            raw[pair[0]] = pair[1]
            seen.add(pair[1])
    return raw


def _pair(line: str, keys: Sequence[str]) -> tuple[str, str] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or len(value) != 2:
        return None
    key = next((key for key in keys if key in value), None)
    if key is None:
        return None
    other = next(entry for name, entry in value.items() if name != key)
    if isinstance(other, dict | list) or other is None or not str(other).strip():
        return None
    return str(value[key]), str(other)


def apply_map(frame: pl.DataFrame, side: Side, declared: DeclaredMap, file: Path, bad: BadRows) -> pl.DataFrame:
    """Ids of one column replaced by the user's own. A row with an id outside the map is a bad row."""
    old = pl.Series(list(declared.raw), dtype=pl.String)
    new = pl.Series(list(declared.raw.values()), dtype=pl.String)
    mapped = frame[side].replace_strict(old, new, default=None, return_dtype=pl.String)
    outside = mapped.is_null()
    if outside.any():
        allowed = f"one of the {len(old)} ids of {declared.file.name} is needed"
        rows = outside.arg_true().head(MAX_EXAMPLES).to_list()
        problems = [Problem(file, int(frame["line"][row]), shown(frame[side][row]), allowed, side) for row in rows]
        bad.report(problems, int(outside.sum()))
    return frame.with_columns(mapped.alias(side)).filter(~outside)
