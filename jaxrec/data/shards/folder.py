"""A folder of shards: what lies in it, how it is told from another, and what is read of it at once.

    manifest.json        layout, sha256 of the dataset, rows of each shard, size and sha256 of every file
    provenance.json      as of any prepared dataset
    users.npy items.npy  raw ids, [U] and [I] fixed-width str
    train/*.parquet      the training pairs in shards, user_ids and item_ids Int32
    PART.users.npy, PART.items.npy, PART.indptr.npy
                         the pairs of train, valid and test by user and item: [n] int32, [n] int32, [U + 1] int64

Arrays are memory-mapped: what is not looked at is not in memory. Their digests are checked when the folder is opened,
that of a shard by whoever reads it first.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.manifest import MANIFEST, read_manifest
from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.shards.pieces import LANES, shard_name
from jaxrec.data.shards.settings import check_same_recipe
from jaxrec.data.splits import PARTS
from jaxrec.errors import UserError

KIND, LAYOUT = "jaxrec shards", 1


@dataclasses.dataclass(frozen=True)
class Shards:
    """Training pairs on disk. rows: those of each shard; digests: the sha256 of each shard's file."""

    folder: pathlib.Path
    rows: tuple[int, ...]
    digests: tuple[str, ...]

    @property
    def num_pairs(self) -> int:
        """Training pairs of all shards."""
        return sum(self.rows)

    @property
    def lanes(self) -> int:
        """Readers that have equal shares of the shards, within one row."""
        return LANES

    def path(self, shard: int) -> pathlib.Path:
        """The file of a shard."""
        return self.folder / shard_name(shard)

    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """Each user's training items, sorted and without repeats: indptr [U + 1] int64, items [n] int32, on disk."""
        indptr, items = (_mapped(self.folder / f"train.{name}.npy") for name in ("indptr", "items"))
        return indptr, items


def write_manifest(folder: pathlib.Path, sha256: str, rows: list[int]) -> None:
    """Write the manifest of all that lies in the folder."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = {name: [(folder / name).stat().st_size, file_digest(folder / name)] for name in names}
    manifest = {"kind": KIND, "layout": LAYOUT, "sha256": sha256, "rows": rows, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def holds_shards(path: pathlib.Path) -> bool:
    """Whether a path is a folder that jaxrec.prepare --shards wrote."""
    if not (path / MANIFEST).is_file():
        return False
    try:
        return read_manifest(path / MANIFEST).get("kind") == KIND
    except UserError:
        return False


def shards_sha256(path: pathlib.Path) -> str:
    """The sha256 of the dataset that a folder of shards holds."""
    return _manifest(path)["sha256"]


def load_shards(config: DataConfig, path: pathlib.Path) -> Dataset:
    """The dataset of a folder of shards, its columns memory-mapped; the rows of a part are by user and item.

    Raises UserError where a file is not what was written, or the settings ask for other data than these.
    """
    manifest = _manifest(path)
    shards = {name for name in manifest["files"] if name.startswith("train/")}
    for name, (size, digest) in manifest["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            raise UserError(f"{file}: not the {size:,} bytes that were written; prepare the shards anew")
        if name not in shards and file_digest(file) != digest:
            raise damaged(file)
    provenance = json.loads((path / "provenance.json").read_text(encoding="utf-8"))
    check_same_recipe(config, provenance["recipe"], path)
    users, items = (IdMap(_mapped(path / f"{name}.npy")) for name in ("users", "items"))
    train, valid, test = (
        Interactions(_mapped(path / f"{name}.users.npy"), _mapped(path / f"{name}.items.npy"), users, items)
        for name in PARTS
    )
    digests = tuple(manifest["files"][shard_name(shard)][1] for shard in range(len(manifest["rows"])))
    held = Shards(path, tuple(manifest["rows"]), digests)
    return Dataset(config.name, "path", train, valid, test, manifest["sha256"], provenance, shards=held)


def damaged(file: pathlib.Path) -> UserError:
    """A file that is not what was written."""
    return UserError(f"{file}: its sha256 is not that of what was written; prepare the shards anew")


def _manifest(path: pathlib.Path) -> dict[str, Any]:
    manifest = read_manifest(path / MANIFEST)
    if manifest.get("kind") != KIND or manifest.get("layout") != LAYOUT:
        found = f"{manifest.get('kind')}, layout {manifest.get('layout')}"
        raise UserError(f"{path / MANIFEST}: found {found}; allowed: {KIND}, layout {LAYOUT}; prepare the shards anew")
    return manifest


def _mapped(path: pathlib.Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); prepare the shards anew") from error
