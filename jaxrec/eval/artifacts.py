"""What an evaluation leaves in a run folder: values of every user, and lists, under the user's own ids."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.ranking import Evaluation


def save_per_user(folder: pathlib.Path, evaluations: dict[str, Evaluation], dataset: Dataset) -> None:
    """per_user.npz: for each part `<part>/user_ids` [n] raw ids and `<part>/<metric>` [n] float64."""
    arrays: dict[str, np.ndarray] = {}
    for part, evaluation in evaluations.items():
        arrays[f"{part}/user_ids"] = dataset.users.decode(evaluation.user_ids)
        arrays |= {f"{part}/{name}": values for name, values in evaluation.per_user.items()}
    _save(folder / "per_user.npz", arrays)


def save_topk(folder: pathlib.Path, evaluation: Evaluation, dataset: Dataset) -> None:
    """topk.npz: user_ids [n] raw, item_ids [n, K] raw ("" behind the last candidate), scores [n, K] float32."""
    if evaluation.topk_items is None or evaluation.topk_scores is None:
        raise ValueError("the evaluation has no lists: evaluate(..., lists=True)")
    items = evaluation.topk_items
    _save(
        folder / "topk.npz",
        {
            "user_ids": dataset.users.decode(evaluation.user_ids),
            "item_ids": np.where(items >= 0, dataset.items.decode(np.maximum(items, 0)), ""),
            "scores": evaluation.topk_scores,
        },
    )


def load_per_user(folder: pathlib.Path, part: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Raw user ids [n] and `<metric>` -> [n] float64 of one part.

    Raises UserError where the file is missing or damaged, or lacks the part.
    """
    path = folder / "per_user.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files if name.startswith(f"{part}/")}
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole npz file: {error}") from error
    users = arrays.pop(f"{part}/user_ids", None)
    if users is None:
        raise UserError(f"{path}: holds nothing of the {part} part")
    return users, {name.removeprefix(f"{part}/"): values for name, values in arrays.items()}


def _save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """The file whole or not at all; compressed, since raw ids repeat."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    partial.replace(path)
