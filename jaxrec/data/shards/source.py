"""A source in stretches: which files, and their good rows one stretch after the other."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.blocks import base_name
from jaxrec.data.readers.delimited import delimited_blocks
from jaxrec.data.readers.detect import detect_format
from jaxrec.data.readers.folder import find_sources, list_files
from jaxrec.data.readers.id_maps import find_maps
from jaxrec.data.readers.problems import BadRows
from jaxrec.data.readers.tables import parquet_blocks, table_layout
from jaxrec.data.shards.settings import FORMATS
from jaxrec.errors import UserError

_ROWS = 1 << 20  # rows of a Parquet file at a time
_OPTIONAL = ("rating", "timestamp", "behavior")


@dataclasses.dataclass(frozen=True)
class StreamedSource:
    """Files of one format; their rows follow each other."""

    path: pathlib.Path
    files: tuple[pathlib.Path, ...]
    format: str

    def frames(self, config: DataConfig, bad: BadRows) -> Iterator[pl.DataFrame]:
        """Columns user, item and, where the files have them, rating, timestamp, behavior, as `typed` gives them."""
        first: tuple[str, ...] | None = None
        for file in self.files:
            for frame in self._stretches(file, config, bad):
                present = tuple(name for name in _OPTIONAL if name in frame)
                first = present if first is None else first
                if present != first:
                    this, those = ", ".join(present) or "none", ", ".join(first) or "none"
                    raise UserError(
                        f"{file}: found optional columns {this}, but {self.files[0].name} has {those}; "
                        "all files need the same"
                    )
                yield frame.drop("line")

    def _stretches(self, file: pathlib.Path, config: DataConfig, bad: BadRows) -> Iterator[pl.DataFrame]:
        if self.format == "parquet":
            return parquet_blocks(file, config, bad, _ROWS)
        return delimited_blocks(file, table_layout(file, config, "," if self.format == "csv" else "\t"), bad)

    def record(self, bad: BadRows, content: str) -> dict[str, Any]:
        """What the provenance says of the source, without counts."""
        here = f"{self.path if self.path.is_dir() else self.path.parent}{os.sep}"
        return {
            "kind": "path",
            "name": self.path.name,
            "format": self.format,
            "sha256": content,
            "files": [file.name for file in self.files],
            "skipped_rows": bad.count,
            "skipped_examples": [example.replace(here, "") for example in bad.examples],
        }


def find_streamed_source(config: DataConfig, path: pathlib.Path) -> StreamedSource:
    """The file at a path, the one that a folder holds, or all files of a folder of Parquet files, in order of name.

    Raises UserError for a divided source, for id maps beside the interactions and for other formats.
    """
    if not path.is_dir():
        return _of_files(config, path, (path,))
    files = list_files(path)
    if len(files) > 1 and all(base_name(file).endswith(".parquet") for file in files):
        return _of_files(config, path, tuple(files))
    sources = find_sources(path, files, config.format)
    if sources[0].part is not None:
        raise UserError(f"{path}: found a source that comes divided; allowed with --shards: one that is not")
    maps = find_maps(files)
    if maps:
        declared = next(iter(maps.values())).file
        raise UserError(f"{declared}: found a map of ids, which --shards does not apply; allowed: the ids themselves")
    return _of_files(config, path, tuple(source.file for source in sources))


def _of_files(config: DataConfig, path: pathlib.Path, files: tuple[pathlib.Path, ...]) -> StreamedSource:
    found = detect_format(files[0]) if config.format == "auto" else config.format
    if found not in FORMATS:
        raise UserError(f"{files[0]}: found format {found}; allowed with --shards: {', '.join(FORMATS)}")
    return StreamedSource(path, files, found)
