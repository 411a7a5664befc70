"""What an agent makes of finished runs: for each a folder in the run's that is read as a run of its own."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.console import Console

from jaxrec.errors import UserError
from jaxrec.eval.artifacts import save_arrays
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.refinement.refine import default_config, refine_run
from jaxrec.run_folder import read_json, write_json
from jaxrec.studies.cells import Cell

_TOLD = (
    "agent", "answered_by", "template", "simulation", "top", "candidates", "num_users", "num_users_of_part", "before",
    "ceiling", "tests", "counts",
)  # fmt: skip


def refine_cells(cells: Iterable[Cell], runs: pathlib.Path, console: Console) -> dict[str, str]:
    """Ask the agents of all cells whose run is done and whose refinement is not; why some failed, by result_name.

    What is asked is kept in the run's folder: the next call goes on from there and pays for nothing twice.
    """
    failures: dict[str, str] = {}
    for name, cell in {cell.result_name: cell for cell in cells if cell.refined is not None}.items():
        base, folder = runs / cell.folder_name, runs / name
        if (folder / "result.json").is_file() or not (base / "result.json").is_file():
            continue
        console.print(f"refining {cell.label} ({name})", soft_wrap=True, markup=False)
        try:
            _refine(cell, base, folder, Display(console))
        except UserError as error:
            failures[name] = str(error)
            console.print(f"failed  {cell.label}: {error}", soft_wrap=True, markup=False)
    return failures


def _refine(cell: Cell, base: pathlib.Path, folder: pathlib.Path, display: Display) -> None:
    assert cell.refined is not None
    kept = default_config(base)
    given = cell.refined
    out = kept.out if given.out == PrecomputeConfig().out else given.out
    config = dataclasses.replace(given, out=out, name=kept.name, steps=kept.steps)
    record = refine_run(base, config, display)
    if not record["complete"]:
        raise UserError("not whole: some requests failed; the same command asks those again")
    with np.load(pathlib.Path(record["path"]).with_suffix(".npz"), allow_pickle=False) as saved:
        per_user = {
            f"test/{name.removeprefix('after/')}": saved[name]
            for name in saved.files
            if name == "user_ids" or name.startswith("after/")
        }
    write_as_run(base, folder, record, per_user)


def write_as_run(
    base: pathlib.Path, folder: pathlib.Path, record: dict[str, Any], per_user: dict[str, np.ndarray]
) -> None:
    """The folder with config.json, per_user.npz and, last, result.json, as a run has them, of full ranking's test part.

    record: of jaxrec.refinement; its words stand in result.json under `refined`. per_user: as in per_user.npz.
    """
    result = read_json(base / "result.json")
    full = {name: value for name, value in result["protocols"]["full"].items() if name != "valid"}
    result["protocols"] = {"full": full | {"test": record["after"]}}
    result["refined"] = {name: record[name] for name in _TOLD}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / "config.json", folder / "config.json")
        save_arrays(folder / "per_user.npz", per_user)
        write_json(folder / "result.json", result)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from error
