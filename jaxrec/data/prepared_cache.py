"""Prepared datasets on disk: one folder each, without pickles, whole or not there at all.

An entry is written beside its place and moved there in one step, so that neither a second process nor `kill -9`
leaves half of one; digests of its files are checked on every load.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
import zipfile
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.packed_text import PackedText
from jaxrec.data.splits import PARTS

ARRAYS, PROVENANCE, MANIFEST = "arrays.npz", "provenance.json", "manifest.json"
REVIEWS = "reviews.npy"  # apart from the other arrays, because only a file of its own can be memory-mapped
LAYOUT = 1
_COLUMNS = ("user_ids", "item_ids", "ratings", "timestamps", "behaviors", "reviews")
_AUXILIARY, _ITEM_FIELD = "auxiliary", "item_field."
_TEMPORARY = ".writing-"
_ABANDONED_SECONDS = 24 * 3600


class DamagedEntryError(Exception):
    """An entry is there but is not what was written."""


def cache_folder(configured: str | None) -> pathlib.Path:
    """The configured folder, else $JAXREC_CACHE, else ~/.cache/jaxrec."""
    return pathlib.Path(configured or os.environ.get("JAXREC_CACHE") or "~/.cache/jaxrec").expanduser()


def store(dataset: Dataset, entry: pathlib.Path) -> None:
    """Write the entry; where another process was first, its entry is replaced. Raises OSError."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(entry.parent)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=entry.parent))
    try:
        fresh = temporary / "fresh"
        fresh.mkdir()
        np.savez(fresh / ARRAYS, allow_pickle=False, **_arrays(dataset))
        (fresh / PROVENANCE).write_text(json.dumps(dataset.provenance, indent=2) + "\n", encoding="utf-8")
        files = [ARRAYS, PROVENANCE]
        if dataset.reviews is not None:
            np.save(fresh / REVIEWS, dataset.reviews.data, allow_pickle=False)
            files.append(REVIEWS)
        manifest = {
            "layout": LAYOUT,
            "name": dataset.name,
            "source": dataset.source,
            "sha256": dataset.sha256,
            "files": {name: file_digest(fresh / name) for name in files},
        }
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _move_into_place(fresh, entry, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(entry: pathlib.Path, sha256: str) -> Dataset | None:
    """The dataset of an entry, None where there is none. Raises DamagedEntryError where it cannot be trusted."""
    try:
        manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if entry.is_dir():
            raise DamagedEntryError(f"{MANIFEST} is missing") from None
        return None
    except (OSError, ValueError) as error:
        raise DamagedEntryError(f"{MANIFEST} cannot be read") from error
    try:
        if manifest["layout"] != LAYOUT or manifest["sha256"] != sha256:
            raise DamagedEntryError(f"{MANIFEST} is of another dataset")
        files = manifest["files"]
        for name in (ARRAYS, PROVENANCE, *([REVIEWS] if REVIEWS in files else [])):
            if file_digest(entry / name) != files[name]:
                raise DamagedEntryError(f"{name} is not what was written")
        provenance = json.loads((entry / PROVENANCE).read_text(encoding="utf-8"))
        with np.load(entry / ARRAYS, allow_pickle=False) as arrays:
            reviews = None
            if REVIEWS in files:
                data = np.load(entry / REVIEWS, mmap_mode="r", allow_pickle=False)
                reviews = PackedText(data, arrays["reviews.ends"])
            return _dataset(arrays, manifest, provenance, reviews)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DamagedEntryError(f"{entry.name} cannot be read ({error})") from error


def file_digest(path: pathlib.Path) -> str:
    """sha256 of the bytes of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move_into_place(fresh: pathlib.Path, entry: pathlib.Path, temporary: pathlib.Path) -> None:
    """A folder cannot replace a folder that holds files, so what stands there is moved aside first."""
    attempts = 5
    for attempt in range(attempts):
        try:
            os.replace(fresh, entry)
        except OSError:
            if attempt == attempts - 1 or not entry.exists():
                raise
            # Another process may move it, or put its own there, between the two lines: hence several attempts.
            with contextlib.suppress(FileNotFoundError):
                os.replace(entry, temporary / f"former-{attempt}")
        else:
            return


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Remove what a killed process left a day ago or earlier."""
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    arrays = {
        "users": dataset.users.raw,
        "items": dataset.items.raw,
        "behavior_names": np.asarray(dataset.train.behavior_names, dtype=np.str_),
    }
    for name in (*PARTS, _AUXILIARY):
        part: Interactions | None = getattr(dataset, name)
        for column in _COLUMNS:
            values = getattr(part, column, None)
            if values is not None:
                arrays[f"{name}.{column}"] = values
    for field, values in dataset.item_fields.items():
        arrays[_ITEM_FIELD + field] = values
    if dataset.item_text is not None:
        # Texts differ too much in length for a fixed width.
        packed = PackedText.pack(dataset.item_text)
        arrays["item_text.bytes"], arrays["item_text.ends"] = packed.data, packed.ends
    if dataset.reviews is not None:
        arrays["reviews.ends"] = dataset.reviews.ends
    return arrays


def _dataset(arrays: Any, manifest: dict[str, Any], provenance: dict[str, Any], reviews: PackedText | None) -> Dataset:
    users, items = IdMap(arrays["users"]), IdMap(arrays["items"])
    behavior_names = tuple(arrays["behavior_names"].tolist())

    def part(name: str) -> Interactions:
        columns = {c: arrays[f"{name}.{c}"] for c in _COLUMNS if f"{name}.{c}" in arrays}
        return Interactions(users=users, items=items, behavior_names=behavior_names, **columns)

    item_text = None
    if "item_text.bytes" in arrays:
        packed = PackedText(arrays["item_text.bytes"], arrays["item_text.ends"])
        item_text = tuple(packed[row] for row in range(len(packed)))
    return Dataset(
        name=manifest["name"],
        source=manifest["source"],
        train=part("train"),
        valid=part("valid"),
        test=part("test"),
        sha256=manifest["sha256"],
        provenance=provenance,
        item_text=item_text,
        reviews=reviews,
        auxiliary=part(_AUXILIARY) if f"{_AUXILIARY}.user_ids" in arrays else None,
        item_fields={
            name.removeprefix(_ITEM_FIELD): arrays[name] for name in arrays.files if name.startswith(_ITEM_FIELD)
        },
    )
