"""The manifest.json of a folder: what made its files and of what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError

MANIFEST = "manifest.json"


def read_manifest(path: Path) -> dict[str, Any]:
    """The JSON object of a manifest.json. Raises: UserError where it is none."""
    try:
        manifest = json.loads(read_utf8(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: found a JSON {type(manifest).__name__}; an object is needed")
    return manifest


def check_made_of(path: Path, dataset: Dataset) -> None:
    """Raises UserError where the files beside a manifest.json were not made of the data set, read with reviews or not.

    Users, items and rows are the same with and without reviews, so that either will do.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        made_of = [held.get("dataset_sha256"), held.get("read_sha256")]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as a JSON object ({str(error).splitlines()[0]})") from error
    if dataset.sha256 not in made_of:
        raise UserError(f"{path}: dataset_sha256 {made_of[0]}, but data set {dataset.name} has {dataset.sha256}")


def read_utf8(path: Path) -> str:
    """The text of a file. Raises: UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
