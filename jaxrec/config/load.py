"""Read an experiment from its Python file, or from the record that a run left of it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import pathlib
import sys
import traceback
import types
from typing import Any, TypeVar

from jaxrec.config.experiment import Experiment
from jaxrec.config.record import from_json
from jaxrec.errors import UserError

Wanted = TypeVar("Wanted")


def load_config(path: str | pathlib.Path) -> Experiment[Any]:
    """What the `get_config()` of a Python file gives, named after the file; or a recorded experiment.

    A record is a .json file: config.json of a run folder, which keeps its name, or what `to_json` gives.
    Raises UserError where the file is missing, fails, or gives something that is not an Experiment.
    """
    path = pathlib.Path(path)
    if path.suffix == ".json":
        return _load_record(path)
    experiment: Experiment[Any] = load_from(path, "get_config", Experiment)
    if not dataclasses.is_dataclass(experiment.model) or isinstance(experiment.model, type):
        raise UserError(
            f"{path}: model is {experiment.model!r}, allowed is a model config such as LightGCNConfig(dim=32)"
        )
    return dataclasses.replace(experiment, name=path.stem)


def load_from(path: pathlib.Path, function: str, kind: type[Wanted]) -> Wanted:
    """What a function without arguments of a Python file gives. Raises UserError as `load_config` does."""
    module = _run(path, _read(path, function))
    get = getattr(module, function, None)
    if not callable(get):
        raise UserError(f"{path}: has no function {function}() -> {kind.__name__}")
    try:
        value = get()
    except Exception as error:
        raise _failure(path, error) from error
    if not isinstance(value, kind):
        raise UserError(f"{path}: {function}() returned {type(value).__name__}, allowed is {_place(kind)}")
    return value


PRECOMPUTE = "precompute_"
"""How the names of configs begin that are of the precompute stage, not of experiments."""


def config_files(folder: str | pathlib.Path = "configs", precompute: bool = False) -> list[str]:
    """Paths of the config files of experiments in a folder, or of precompute jobs, sorted; empty without a folder."""
    files = pathlib.Path(folder).glob("*.py")
    return sorted(str(file) for file in files if file.name.startswith(PRECOMPUTE) == precompute)


def _load_record(path: pathlib.Path) -> Experiment[Any]:
    source = _read(path, "get_config", "JSON")
    try:
        record = json.loads(source)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if isinstance(record, dict):
        record = record.get("experiment", record)
    if not isinstance(record, dict):
        raise UserError(f"{path}: found {type(record).__name__}, allowed: an object, such as a run's config.json")
    try:
        experiment = from_json(record)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return experiment if experiment.name else dataclasses.replace(experiment, name=path.stem)


def _place(kind: type) -> str:
    """Where a user imports a class from."""
    return f"{kind.__module__.rpartition('.')[0]}.{kind.__name__}"


def _read(path: pathlib.Path, function: str, form: str = "Python") -> str:
    if not path.exists():
        raise UserError(f"{path}: no such config file{_suggestion(path)}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder, allowed is a Python file with {function}(){_suggestion(path / '_')}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as {form}: {error}") from error


def _suggestion(path: pathlib.Path) -> str:
    folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
    files = config_files(folder, path.name.startswith(PRECOMPUTE))
    if not files:
        return ""
    stems = {pathlib.Path(file).stem: file for file in files}
    nearest = difflib.get_close_matches(path.stem, stems, n=3, cutoff=0.5)
    if nearest:
        return "; nearest: " + ", ".join(stems[stem] for stem in nearest)
    return "; there are: " + ", ".join(files)


def _run(path: pathlib.Path, source: str) -> types.ModuleType:
    # Compiled from its text, not imported: a stale .pyc can never stand in for the file that the user just saved.
    module = types.ModuleType(f"jaxrec_config_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses defined in the file look their module up
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        raise _failure(path, error) from error
    return module


def _failure(path: pathlib.Path, error: Exception) -> UserError:
    """One line: file, the last of its lines that was running, and what went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line, reason = error.lineno, error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line, reason = (frames[-1].lineno if frames else None), str(error)
    where = f"{path}:{line}" if line is not None else str(path)
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return UserError(f"{where}: {kind}{' '.join(reason.split())}")
