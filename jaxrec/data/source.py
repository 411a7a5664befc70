"""Where the interactions of an experiment lie, and the hash of what lies there."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import pathlib
from typing import Any

from jaxrec.data.config import DataConfig
from jaxrec.data.prepared_cache import file_digest
from jaxrec.errors import UserError


def find_source(config: DataConfig) -> pathlib.Path | None:
    """Where the interactions lie; None means the built-in sample. Raises UserError."""
    if config.path is not None:
        path = pathlib.Path(config.path).expanduser()
        if not path.exists():
            raise UserError(f"data.path: {config.path} does not exist{_nearest(path)}; allowed: a file or a folder")
        return path.absolute()
    root = os.environ.get("JAXREC_DATA")
    if root and (pathlib.Path(root).expanduser() / config.name).exists():
        return (pathlib.Path(root).expanduser() / config.name).absolute()
    if config.require_real:
        looked = f"$JAXREC_DATA/{config.name} does not exist" if root else "JAXREC_DATA is not set"
        raise UserError(f"data.require_real: no data.path is given and {looked}; allowed: --data.path FILE_OR_FOLDER")
    return None


def _nearest(path: pathlib.Path) -> str:
    """A name beside the path that is like it, as a hint."""
    try:
        beside = [file.name for file in path.parent.iterdir()]
    except OSError:
        return ""
    like = difflib.get_close_matches(path.name, beside, n=1)
    return f" (nearest: {path.parent / like[0]})" if like else ""


def content_digest(path: pathlib.Path) -> str:
    """sha256 over names and bytes of the file, or of the files that lie in the folder itself, hidden ones apart."""
    try:
        if path.is_file():
            files = [path]
        else:
            files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        return digest([[file.name, file_digest(file)] for file in files])
    except OSError as error:
        raise UserError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error


def digest(value: Any) -> str:
    """sha256 over a value as JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
