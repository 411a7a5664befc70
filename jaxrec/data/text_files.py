"""Text features on disk: a folder with a manifest, or one array file.

A folder holds `manifest.json` and what it names:

    {"schema": 1,                  the form of this manifest
     "model": "all-MiniLM-L6-v2",  what made the vectors
     "dim": 384,                   their width
     "item": "item.npy",           [rows, dim] float; or "x.safetensors", which then holds a tensor `item`
     "user": "user.npy",           the same for users (optional: else built from each user's training items)
     "item_mask": "item_mask.npy", [rows] bool, True = has text (optional: else every row that is not zero)
     "user_mask": "user_mask.npy",
     "item_ids": "item_ids.txt",   raw id of each row, one a line (optional: else rows are in the data set's order)
     "user_ids": "user_ids.txt",
     "reviews": 3,                 not 0: the item texts hold reviews (optional)
     "dataset_sha256": "…"}        data set whose training part user texts and reviews are of (optional, checked)

Other keys (inputs_sha256, prompts, dates) are kept and are part of the hash. A path may also be one `.safetensors`
file (tensors `item`, and optionally `user`, `item_mask`, `user_mask`), one `.npy` file of item vectors, or one `.txt`
file of lines, each a raw id and its vector (jaxrec.data.vector_lines).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.array_files import read_array, read_safetensors
from jaxrec.data.interactions import IdMap
from jaxrec.data.manifest import MANIFEST, read_manifest, read_utf8
from jaxrec.data.vector_lines import read_vector_lines
from jaxrec.errors import UserError

REQUIRED_KEYS = ("schema", "model", "dim", "item")
FILE_KEYS = ("item", "user", "item_mask", "user_mask", "item_ids", "user_ids")
_SINGLE = ".npy, .safetensors or .txt"


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The vectors of users or of items as found in a file.

    path: the file, for messages. vectors: [n, dim] float32. mask: [n] bool. raw_ids: n strings, or None where
    row r belongs to integer id r.
    """

    path: Path
    vectors: np.ndarray
    mask: np.ndarray
    raw_ids: tuple[str, ...] | None = None

    def align(self, ids: IdMap, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the order of the id map and who has text: ([len(ids), dim] float32, [len(ids)] bool)."""
        if self.raw_ids is None:
            if len(self.vectors) != len(ids):
                raise UserError(
                    f"{self.path}: {len(self.vectors)} rows of text features for {len(ids)} {kind}; give {len(ids)} "
                    f"rows in the data set's order, or name the raw ids in the manifest"
                )
            return np.where(self.mask[:, None], self.vectors, np.float32(0)), self.mask
        places = ids.encode(self.raw_ids)
        known = places >= 0
        if not known.any():
            raise UserError(
                f'{self.path}: none of its {len(places)} raw ids (first: "{self.raw_ids[0]}") is among the {len(ids)} '
                f'{kind} of the data set (first: "{ids.raw[0]}")'
            )
        vectors = np.zeros((len(ids), self.vectors.shape[1]), np.float32)
        mask = np.zeros(len(ids), bool)
        used = known & self.mask
        vectors[places[used]] = self.vectors[used]
        mask[places[used]] = True
        return vectors, mask


@dataclasses.dataclass(frozen=True, eq=False)
class GivenText:
    """What a path holds: rows of items, perhaps of users, the manifest, and the hash of all of it."""

    path: Path
    item: Rows
    user: Rows | None
    manifest: dict[str, Any]
    sha256: str


def read_text_files(path: str | Path) -> GivenText:
    """Read a manifest folder, a .safetensors file, or a .npy or .txt file of item vectors.

    Raises: UserError where something is missing, of another type or shape, or not finite.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        manifest, files = _read_manifest(path)
    elif not path.exists():
        raise UserError(f"{path}: not found; allowed: a folder with {MANIFEST}, or a {_SINGLE} file")
    elif path.suffix == ".txt" or path.suffix == ".npy":
        manifest, files = {}, {"item": path}
    elif path.suffix == ".safetensors":
        held = read_safetensors(path)
        manifest = {}
        files = {key: path for key in ("item", "user", "item_mask", "user_mask") if key in held}
        if "item" not in files:
            raise UserError(f"{path}: no tensor `item`; found {', '.join(sorted(held)) or 'none'}")
    else:
        raise UserError(
            f"{path}: found {path.suffix or 'no ending'}; allowed: a folder with {MANIFEST}, or a {_SINGLE} file"
        )
    item = _read_lines(path) if path.suffix == ".txt" else _read_rows("item", files)
    user = _read_rows("user", files) if "user" in files else None
    dim = manifest.get("dim", item.vectors.shape[1])
    for rows in (item, user):
        if rows is not None and rows.vectors.shape[1] != dim:
            raise UserError(f"{rows.path}: vectors of {rows.vectors.shape[1]} numbers; {dim} are expected")
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for rows in (item, user):
        if rows is not None:
            digest.update(json.dumps([rows.vectors.shape, rows.raw_ids]).encode())
            digest.update(rows.vectors.tobytes() + rows.mask.tobytes())
    return GivenText(path, item, user, manifest, digest.hexdigest())


def write_text_features(
    folder: str | Path,
    item: np.ndarray,
    *,
    model: str,
    user: np.ndarray | None = None,
    item_mask: np.ndarray | None = None,
    user_mask: np.ndarray | None = None,
    item_ids: Sequence[str] | None = None,
    user_ids: Sequence[str] | None = None,
    extra: dict[str, Any] | None = None,
) -> Path:
    """Write a manifest folder that `read_text_files` takes, the manifest last; gives back its path.

    item [n, dim], user [m, dim] float; masks bool; ids raw. extra: further JSON keys of the manifest, such as
    dataset_sha256 (of the data set whose training part user texts were made of) and inputs_sha256.

    Raises: UserError where the folder already holds a manifest or cannot be written.
    """
    folder = Path(folder).expanduser()
    if (folder / MANIFEST).exists():
        raise UserError(f"{folder / MANIFEST}: already there; nothing is written over, give another folder")
    manifest = {**(extra or {}), "schema": 1, "model": model, "dim": int(item.shape[1])}
    vectors = {"item": item.astype(np.float32), "user": None if user is None else user.astype(np.float32)}
    arrays = {**vectors, "item_mask": item_mask, "user_mask": user_mask}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, array in arrays.items():
            if array is not None:
                manifest[key] = f"{key}.npy"
                np.save(folder / manifest[key], array, allow_pickle=False)
        for key, raw_ids in (("item_ids", item_ids), ("user_ids", user_ids)):
            if raw_ids is not None:
                if any("\n" in raw or "\r" in raw for raw in raw_ids):
                    raise ValueError(f"{key}: a raw id holds a line break")
                manifest[key] = f"{key}.txt"
                text = "".join(f"{raw}\n" for raw in raw_ids)
                (folder / manifest[key]).write_text(text, encoding="utf-8", newline="\n")
        partial = folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(folder / MANIFEST)
    except OSError as error:
        raise UserError(f"{folder}: cannot write text features: {error.strerror}") from error
    return folder / MANIFEST


def _read_manifest(folder: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """The manifest of a folder and the files it names."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{path}: not found; a folder of text features needs it")
    manifest = read_manifest(path)
    missing = [key for key in REQUIRED_KEYS if manifest.get(key) is None]
    if missing:
        raise UserError(f"{path}: key {missing[0]} is missing; {', '.join(REQUIRED_KEYS)} are needed")
    if manifest["schema"] != 1:
        raise UserError(f"{path}: schema {manifest['schema']!r}; this version reads 1")
    if type(manifest["dim"]) is not int or manifest["dim"] < 1:
        raise UserError(f"{path}: dim {manifest['dim']!r}; a whole number of at least 1 is needed")
    files = {}
    for key in FILE_KEYS:
        name = manifest.get(key)
        if name is None:
            continue
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(f"{path}: {key} is {name!r}; the name of a file in the same folder is needed")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: not found, though {MANIFEST} names it as {key}")
        files[key] = folder / name
    return manifest, files


def _read_lines(path: Path) -> Rows:
    raw_ids, vectors = read_vector_lines(path)
    return Rows(path, vectors, np.asarray(vectors.any(axis=1)), raw_ids)


def _read_rows(kind: str, files: dict[str, Path]) -> Rows:
    """Vectors, mask and raw ids of `item` or `user`, checked."""
    path = files[kind]
    raw = read_array(path, kind)
    if raw.ndim != 2 or 0 in raw.shape:
        raise UserError(f"{path}: shape {list(raw.shape)}; [rows, dim] is needed")
    if raw.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"{path}: numbers of type {raw.dtype}; float16, float32 or float64 are needed")
    with np.errstate(over="ignore"):
        vectors = raw.astype(np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: row {int(np.argmin(finite))} holds NaN or infinity; every number must be finite")
    if f"{kind}_mask" in files:
        mask = read_array(files[f"{kind}_mask"], f"{kind}_mask")
        if mask.dtype != np.bool_ or mask.shape != (len(vectors),):
            raise UserError(
                f"{files[f'{kind}_mask']}: {mask.dtype} of shape {list(mask.shape)}; bool of [{len(vectors)}] is needed"
            )
    else:
        mask = np.asarray(vectors.any(axis=1))
    raw_ids = _read_ids(files[f"{kind}_ids"], len(vectors)) if f"{kind}_ids" in files else None
    return Rows(path, vectors, mask, raw_ids)


def _read_ids(path: Path, rows: int) -> tuple[str, ...]:
    """Raw ids, one a line, each once."""
    lines = read_utf8(path).split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) != rows:
        raise UserError(f"{path}: {len(lines)} raw ids for {rows} rows of vectors; one a row is needed")
    first_line: dict[str, int] = {}
    for number, raw in enumerate(lines, start=1):
        if first_line.setdefault(raw, number) != number:
            raise UserError(f'{path}: line {number}: raw id "{raw}" stands on line {first_line[raw]} already')
    return tuple(lines)
