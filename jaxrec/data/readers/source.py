"""A path, read: which files, in which format, with which id maps and item text."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers import amazon, id_lists, kuaishou, movielens, rectmall, steam, tables, yelp
from jaxrec.data.readers.assemble import assemble
from jaxrec.data.readers.blocks import base_name
from jaxrec.data.readers.columns import nearest
from jaxrec.data.readers.detect import detect_format
from jaxrec.data.readers.folder import Source, find_sources, list_files
from jaxrec.data.readers.id_maps import DeclaredMap, Side, apply_map, find_maps
from jaxrec.data.readers.item_text import find_item_files
from jaxrec.data.readers.metadata import item_text_and_fields
from jaxrec.data.readers.problems import BadRows
from jaxrec.data.readers.result import ReadResult
from jaxrec.errors import UserError

FileReader = Callable[[Path, DataConfig, BadRows], pl.DataFrame]

READERS: dict[str, FileReader] = {
    "csv": tables.read_csv,
    "tsv": tables.read_tsv,
    "parquet": tables.read_parquet,
    "recbole": tables.read_recbole,
    "adjacency": id_lists.read_adjacency,
    "sequences": id_lists.read_sequences,
    "movielens": movielens.read_ratings,
    "amazon": amazon.read_reviews,
    "yelp": yelp.read_reviews,
    "steam": steam.read_reviews,
    "rectmall": rectmall.read_log,
    "kuaishou": kuaishou.read_interactions,
}
_WITHOUT_REVIEWS = ("adjacency", "sequences", "movielens", "rectmall", "kuaishou")


def read_source(config: DataConfig, path: Path) -> ReadResult:
    """See `jaxrec.data.readers.read`."""
    if not path.exists():
        raise UserError(_absent(path))
    bad = BadRows(config.on_bad_row)
    files = list_files(path) if path.is_dir() else []
    sources = find_sources(path, files, config.format) if path.is_dir() else [Source(path)]
    data_format = _format_of(config, sources)
    if config.reviews and data_format in _WITHOUT_REVIEWS:
        allowed = ", ".join(name for name in READERS if name not in _WITHOUT_REVIEWS)
        raise UserError(
            f"data.reviews: {sources[0].file} is of the format {data_format}, without texts; allowed: {allowed}"
        )
    frames = []
    for source in sources:
        frame = READERS[data_format](source.file, config, bad)
        if frame.is_empty():
            raise UserError(_nothing(source.file, bad))
        frames.append(frame)
    maps = find_maps(files)
    for side, declared in maps.items():
        frames = [
            apply_map(frame, side, declared, source.file, bad) for frame, source in zip(frames, sources, strict=True)
        ]
        for frame, source in zip(frames, sources, strict=True):
            if frame.is_empty():
                raise UserError(_nothing(source.file, bad))
    interactions, reviews = assemble(sources, frames)
    text, fields, text_files = _item_text(files, maps, bad)
    return ReadResult(
        interactions=interactions,
        skipped_rows=bad.count,
        examples=tuple(bad.examples),
        files=(*(source.file for source in sources), *(declared.file for declared in maps.values()), *text_files),
        item_text=text,
        format=data_format,
        reviews=reviews,
        item_fields=fields,
    )


def _format_of(config: DataConfig, sources: Sequence[Source]) -> str:
    if config.format != "auto":
        return config.format
    formats = [detect_format(source.file, source.part is not None) for source in sources]
    for source, found in zip(sources, formats, strict=True):
        if found != formats[0]:
            first = sources[0].file.name
            raise UserError(f"{source.file}: found format {found}, but {first} is {formats[0]}; parts need one format")
    return formats[0]


def _item_text(
    files: Sequence[Path], maps: dict[Side, DeclaredMap], bad: BadRows
) -> tuple[dict[str, str] | None, dict[str, dict[str, str]], list[Path]]:
    found = find_item_files(files)
    if not found:
        return None, {}, []
    text, fields = item_text_and_fields(item for file, reader in found for item in reader(file, bad))
    if "item" in maps:
        # The text may be filed under the file's ids or already under the user's.
        raw = maps["item"].raw
        text = {raw.get(key, key): value for key, value in text.items()}
        fields = {name: {raw.get(key, key): value for key, value in values.items()} for name, values in fields.items()}
    if not text and all(base_name(file) == "item_fields.jsonl" for file, _ in found):
        return None, fields, [file for file, _ in found]
    return text, fields, [file for file, _ in found]


def _absent(path: Path) -> str:
    parent = path.parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() and os.access(parent, os.R_OK) else []
    like = nearest(path.name, beside)
    hint = f"; nearest is {parent / like}" if like else ""
    return f"{path}: no such file or folder{hint}; an existing one is needed"


def _nothing(file: Path, bad: BadRows) -> str:
    first = f" ({bad.count} bad rows skipped, the first: {bad.examples[0]})" if bad.examples else ""
    return f"{file}: found 0 rows{first}; at least one interaction is needed"
