"""Which files of a folder hold the interactions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from jaxrec.data.readers.blocks import base_name
from jaxrec.data.readers.item_text import is_item_file
from jaxrec.errors import UserError

PART_NAMES = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}

_EXTENSIONS = {
    "csv": ("csv",),
    "tsv": ("tsv", "txt"),
    "parquet": ("parquet",),
    "recbole": ("inter",),
    "adjacency": ("txt",),
    "sequences": ("txt",),
    "movielens": ("dat",),
    "amazon": ("json", "jsonl"),
    "yelp": ("json", "jsonl"),
    "steam": ("json", "jsonl"),
    "rectmall": ("txt", "csv"),
    "kuaishou": ("txt",),
}
_ALL_EXTENSIONS = tuple(dict.fromkeys(extension for group in _EXTENSIONS.values() for extension in group))
_TABLE = r"\.(csv|tsv|txt|parquet)"
# One log in several files.
_SEVERAL = r".*rec_tmall_log.*\.(txt|csv)"
# File names without `.gz`, in lower case.
_KNOWN = (
    r"ratings\.dat",
    r".*\.inter",
    r"sequences.*\.txt",
    rf"(interactions|events|ratings|clicks|transactions){_TABLE}",
    r"(yelp_academic_dataset_|steam_)reviews?\.jsonl?",
    _SEVERAL,
    r"train_interaction\.txt",
    r"(reviews(_.*)?|.*_(5|reviews))\.jsonl?",
)
KNOWN_NAMES = (
    "train|valid|test.*, NAME.train|valid|test.inter, ratings.dat, *.inter, sequences*.txt, "
    "interactions|events|ratings|clicks|transactions.csv|tsv|txt|parquet, yelp_academic_dataset_review.json, "
    "steam_reviews.json, reviews*.json, *_5.json, *rec_tmall_log*.txt|csv, train_interaction.txt (each also .gz)"
)


@dataclasses.dataclass(frozen=True)
class Source:
    """A file of interactions; part: 0 train, 1 valid, 2 test, or None."""

    file: Path
    part: int | None = None


def list_files(folder: Path) -> list[Path]:
    """The plain files of a folder by name, hidden ones left out."""
    try:
        return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); a readable folder is needed") from None


def _part_of(file: Path, extensions: Sequence[str]) -> int | None:
    stem, _, extension = base_name(file).rpartition(".")
    if extension not in extensions:
        return None
    return PART_NAMES.get(stem.rpartition(".")[2] if extension == "inter" else stem)


def find_sources(folder: Path, files: Sequence[Path], data_format: str) -> list[Source]:
    """The parts of a divided set, or the one file of interactions; of a log in several files, all of them.

    Looked for in turn: parts, the known names, any single file with an extension of a known format. Raises UserError
    where nothing is found, or more than one reading is possible.
    """
    extensions = _EXTENSIONS.get(data_format, _ALL_EXTENSIONS)
    candidates = [file for file in files if not is_item_file(file)]
    parts: dict[int, Path] = {}
    for file in candidates:
        part = _part_of(file, extensions)
        if part is not None and part in parts:
            raise UserError(_ambiguous(folder, [parts[part], file]))
        if part is not None:
            parts[part] = file
    known = [
        file
        for file in candidates
        if file not in parts.values()
        and base_name(file).rpartition(".")[2] in extensions
        and any(re.fullmatch(pattern, base_name(file)) for pattern in _KNOWN)
    ]
    if parts and known:
        raise UserError(_ambiguous(folder, [*parts.values(), *known]))
    if parts:
        return [Source(parts[part], part) for part in sorted(parts)]
    found = known or [file for file in candidates if _may_hold_interactions(file, extensions)]
    if len(found) > 1 and all(re.fullmatch(_SEVERAL, base_name(file)) for file in found):
        return [Source(file) for file in found]
    if len(found) > 1:
        raise UserError(_ambiguous(folder, found))
    if not found:
        names = ", ".join(file.name for file in files[:10]) or "no files"
        raise UserError(f"{folder}: no interactions recognised; found {names}; known are {KNOWN_NAMES}")
    return [Source(found[0])]


def _may_hold_interactions(file: Path, extensions: Sequence[str]) -> bool:
    stem, _, extension = base_name(file).rpartition(".")
    described = stem.startswith(("item_", "user_", "users", "items", "movies", "readme"))
    return extension in extensions and not described


def _ambiguous(folder: Path, files: Sequence[Path]) -> str:
    names = ", ".join(file.name for file in files)
    return f"{folder}: more than one file may hold the interactions: {names}; name one of them or set --data.format"
