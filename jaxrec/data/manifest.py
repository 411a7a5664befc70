"""The manifest.json of a folder: what made its files and of what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def read_utf8(path: Path) -> str:
    """The text of a file. Raises: UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
