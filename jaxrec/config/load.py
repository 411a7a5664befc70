"""Read an experiment from its Python file."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import sys
import traceback
import types
from typing import Any

from jaxrec.config.experiment import Experiment
from jaxrec.errors import UserError


def load_config(path: str | pathlib.Path) -> Experiment[Any]:
    """Run a config file and return what its `get_config()` gives, named after the file.

    Raises UserError where the file is missing, fails, or gives something that is not an Experiment.
    """
    path = pathlib.Path(path)
    module = _run(path, _read(path))
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise UserError(f"{path}: has no function get_config() -> Experiment")
    try:
        experiment = get_config()
    except Exception as error:
        raise _failure(path, error) from error
    if not isinstance(experiment, Experiment):
        raise UserError(
            f"{path}: get_config() returned {type(experiment).__name__}, allowed is jaxrec.config.Experiment"
        )
    if not dataclasses.is_dataclass(experiment.model) or isinstance(experiment.model, type):
        raise UserError(
            f"{path}: model is {experiment.model!r}, allowed is a model config such as LightGCNConfig(dim=32)"
        )
    return dataclasses.replace(experiment, name=path.stem)


def config_files(folder: str | pathlib.Path = "configs") -> list[str]:
    """Paths of the config files in a folder, sorted; empty where there is no such folder."""
    return sorted(str(file) for file in pathlib.Path(folder).glob("*.py"))


def _read(path: pathlib.Path) -> str:
    if not path.exists():
        raise UserError(f"{path}: no such config file{_suggestion(path)}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder, allowed is a Python file with get_config(){_suggestion(path / '_')}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as Python: {error}") from error


def _suggestion(path: pathlib.Path) -> str:
    folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
    files = config_files(folder)
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
    return UserError(f"{where}: {type(error).__name__}: {' '.join(reason.split())}")
