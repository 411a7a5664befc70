"""What an evaluation leaves in a run folder: values of every user, and lists, under the user's own ids."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.candidates import Candidates
from jaxrec.eval.ranking import Evaluation


def save_per_user(folder: pathlib.Path, evaluations: dict[str, Evaluation], dataset: Dataset) -> None:
    """per_user.npz: for each name (`valid`, `test` of full ranking; `sampled99/test` and the like of others)
    `<name>/user_ids` [n] raw ids and `<name>/<metric>` [n] float64."""
    arrays: dict[str, np.ndarray] = {}
    for name, evaluation in evaluations.items():
        arrays[f"{name}/user_ids"] = dataset.users.decode(evaluation.user_ids)
        arrays |= {f"{name}/{metric}": values for metric, values in evaluation.per_user.items()}
    save_arrays(folder / "per_user.npz", arrays)


def save_topk(folder: pathlib.Path, evaluation: Evaluation, dataset: Dataset) -> None:
    """topk.npz: user_ids [n] raw, item_ids [n, K] raw ("" behind the last candidate), scores [n, K] float32."""
    if evaluation.topk_items is None or evaluation.topk_scores is None:
        raise ValueError("the evaluation has no lists: evaluate(..., lists=True)")
    items = evaluation.topk_items
    save_arrays(
        folder / "topk.npz",
        {
            "user_ids": dataset.users.decode(evaluation.user_ids),
            "item_ids": np.where(items >= 0, dataset.items.decode(np.maximum(items, 0)), ""),
            "scores": evaluation.topk_scores,
        },
    )


def save_candidates(folder: pathlib.Path, candidates: dict[str, Candidates], dataset: Dataset) -> None:
    """candidates.npz: for each part `<part>/user_ids`, `<part>/target_ids` [n] and `<part>/negative_ids` [n, 99], raw;
    "" where the user left fewer items."""
    arrays: dict[str, np.ndarray] = {}
    for part, drawn in candidates.items():
        negatives = drawn.negative_ids
        arrays |= {
            f"{part}/user_ids": dataset.users.decode(drawn.user_ids),
            f"{part}/target_ids": dataset.items.decode(drawn.target_ids),
            f"{part}/negative_ids": np.where(negatives >= 0, dataset.items.decode(np.maximum(negatives, 0)), ""),
        }
    save_arrays(folder / "candidates.npz", arrays)


def per_user_name(protocol: str, part: str) -> str:
    """The name in per_user.npz of a part under a protocol."""
    return part if protocol == "full" else f"{protocol}/{part}"


def load_per_user(folder: pathlib.Path, part: str, protocol: str = "full") -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Raw user ids [n] and `<metric>` -> [n] float64 of one part under a protocol.

    Raises UserError where the file is missing or damaged, or lacks the part.
    """
    path, wanted = folder / "per_user.npz", f"{per_user_name(protocol, part)}/"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files if name.startswith(wanted)}
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole npz file: {error}") from error
    users = arrays.pop(f"{wanted}user_ids", None)
    if users is None:
        raise UserError(f"{path}: holds nothing of the {part} part under {protocol}")
    return users, {name.removeprefix(wanted): values for name, values in arrays.items()}


def save_arrays(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """The file whole or not at all; compressed, since raw ids repeat."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    partial.replace(path)
