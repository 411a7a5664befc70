"""The folder of one run: who may write in it, what it must already be, and the small JSON files that it holds."""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxrec.config import Experiment, first_difference, to_json
from jaxrec.distributed import barrier, is_first
from jaxrec.errors import UserError

SCHEMA = 1
# What the state of a disk or its permissions can answer; any other OSError is no mistake of the user's.
_NOT_WRITABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR
)  # fmt: skip


@contextmanager
def claim(folder: pathlib.Path, experiment: Experiment[Any], run_hash: str) -> Iterator[None]:
    """Create the folder or check that it belongs to this experiment, and keep other processes out while it is used.

    Raises UserError for a folder of another experiment (naming the first field that differs), one that cannot be
    written, and one that another process is training in. Nothing is written over. Of the processes of one run the first
    does this for all.
    """
    if not is_first():
        barrier("the run folder")
        yield
        return
    recorded_path = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not recorded_path.is_file() and any(not _of_a_start(path) for path in folder.iterdir()):
            raise UserError(
                f"{folder}: holds files but no config.json, so it is not a run folder; choose another --workdir"
            )
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{folder}: another process is running in it") from None
            _check_or_record(recorded_path, experiment, run_hash)
            barrier("the run folder")
            yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _of_a_start(path: pathlib.Path) -> bool:
    """Whether a file is what a start leaves that was killed before it could record its config."""
    return path.name in (".lock", "config.json.partial")


def _check_or_record(path: pathlib.Path, experiment: Experiment[Any], run_hash: str) -> None:
    current = to_json(experiment)
    if not path.is_file():
        write_json(path, {"schema": SCHEMA, "name": experiment.name, "hash": run_hash, "experiment": current})
        return
    recorded = read_json(path)
    if recorded.get("hash") == run_hash:
        return
    difference = first_difference(recorded.get("experiment", {}), current)
    raise UserError(
        f"{path.parent}: holds a run of another config: {difference or 'the data differ'}; choose another --workdir"
    )


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object from a file of a run folder."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8: byte {error.start}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, allowed: a JSON object")
    return content


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Write a JSON object whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    partial.replace(path)


def versions() -> dict[str, str]:
    """Versions of what computes a result."""
    packages = ("jaxrec", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree
            continue
    return {"python": platform.python_version(), **found}


def write_environment(folder: pathlib.Path, devices: dict[str, Any]) -> None:
    """env.json: versions, machine, devices and flags of a run, and the arguments as they were given."""
    content = {
        "schema": SCHEMA,
        "versions": versions(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": devices,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "arguments": sys.argv[1:],
    }
    write_json(folder / "env.json", content)
