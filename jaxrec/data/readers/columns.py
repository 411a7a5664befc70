"""Which column of a file is the user, the item, the rating, the time and the behaviour."""

from __future__ import annotations

import csv
import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path

from jaxrec.data.config import ColumnsConfig
from jaxrec.errors import UserError

_DEFAULTS = ColumnsConfig()


def header_fields(path: Path, head: bytes, separator: str) -> list[str]:
    """The fields of the first line, without surrounding blanks."""
    line = head.split(b"\n", 1)[0].rstrip(b"\r").decode(errors="replace")
    if "\0" in line:
        raise UserError(f"{path}: line 1: found null characters, as in UTF-16 or binary files; UTF-8 text is needed")
    if not line.strip():
        raise UserError(f"{path}: line 1: found an empty line; a header that names the columns is needed")
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def nearest(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate most like `name`, or None where none is like it."""
    folded = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if close:
        return folded[close[0]]
    inside = [candidate for candidate in candidates if name.lower() in candidate.lower()]
    return inside[0] if inside else None


def resolve_columns(
    path: Path, names: Sequence[str], columns: ColumnsConfig, suffix: str = "", reviews: bool = False
) -> dict[str, int]:
    """Index of each column that is present: user, item and where the file has them rating, timestamp, behavior.

    suffix: what the format adds to the default names of ids ("_id" in RecBole files). reviews: the column of review
    texts is needed too, and left out otherwise. A name other than the default must be there. Raises UserError on a
    missing or repeated name.
    """
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{path}: line 1: found column '{repeated[0]}' more than once; each name may stand once")
    found: dict[str, int] = {}
    for field in dataclasses.fields(columns):
        if field.name == "review" and not reviews:
            continue
        name = str(getattr(columns, field.name))
        default = name == getattr(_DEFAULTS, field.name)
        spellings = [name]
        if default and field.name in ("user", "item") and suffix:
            spellings = [name + suffix]
        if default and field.name == "behavior":
            spellings.append("behaviour")
        present = [spelling for spelling in spellings if spelling in names]
        if present:
            found[field.name] = names.index(present[0])
        elif not default or field.name in ("user", "item", "review"):
            raise UserError(_missing(path, field.name, spellings[0], names))
    used: dict[int, str] = {}
    for name, index in found.items():
        if index in used:
            raise UserError(
                f"{path}: column '{names[index]}' is named as both {used[index]} and {name}; each needs its own column"
            )
        used[index] = name
    return found


def _missing(path: Path, role: str, name: str, names: Sequence[str]) -> str:
    like = nearest(name, names)
    hint = f", for example --data.columns.{role} {like}" if like else f", with --data.columns.{role}"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{path}: line 1: no column '{name}' for the {role}; found {shown}; name one of them{hint}"
