"""Orders of candidates that a language model made, as the step "ranking" keeps them."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap
from jaxrec.data.manifest import MANIFEST, check_made_of
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import save_arrays
from jaxrec.eval.pools import RANKINGS

_FIELDS = ("user_ids", "item_ids", "num_ranked", "scores", "part")


@dataclasses.dataclass(frozen=True, eq=False)
class Rankings:
    """user_ids: [n] int32, ascending. item_ids: [n, C] int32, best first, -1 behind the last.

    num_ranked: [n] int32, the first items of each list, which the model itself has placed. scores: [n, C] float32, of
    the items, NaN where the model gave none. valid: [n] bool, users who chose the model's best epoch; the others are
    evaluated.
    """

    user_ids: np.ndarray
    item_ids: np.ndarray
    num_ranked: np.ndarray
    scores: np.ndarray
    valid: np.ndarray

    @property
    def sha256(self) -> str:
        """Of users and lists."""
        digest = hashlib.sha256(f"{self.item_ids.shape}".encode())
        for array in (self.user_ids, self.item_ids, self.valid):
            digest.update(np.ascontiguousarray(array, "<i4").tobytes())
        return digest.hexdigest()

    def table(self, num_users: int) -> np.ndarray:
        """The lists of all users, [U, C] int32, -1 of a user without one."""
        items = np.full((num_users, self.item_ids.shape[1]), -1, np.int32)
        items[self.user_ids] = self.item_ids
        return items


def write_rankings(folder: Path, rankings: Rankings, dataset: Dataset) -> None:
    """ranking.npz: user_ids [n], item_ids [n, C] raw, "" behind the last; num_ranked, scores; part: valid or test."""
    items = rankings.item_ids
    save_arrays(
        folder / RANKINGS,
        {
            "user_ids": dataset.users.decode(rankings.user_ids),
            "item_ids": np.where(items >= 0, dataset.items.decode(np.maximum(items, 0)), ""),
            "num_ranked": rankings.num_ranked.astype(np.int32),
            "scores": rankings.scores.astype(np.float32),
            "part": np.where(rankings.valid, "valid", "test"),
        },
    )


def read_rankings(path: str, dataset: Dataset) -> Rankings:
    """The orders of a folder of step "ranking", in this data set's ids.

    Raises: UserError where it is missing or damaged, or was made from other data or another split.
    """
    folder = Path(path).expanduser()
    if not (folder / RANKINGS).is_file():
        raise UserError(f"{folder}: found no {RANKINGS}; allowed: a folder of step ranking of jaxrec.precompute")
    check_made_of(folder / MANIFEST, dataset)
    arrays = _read_arrays(folder / RANKINGS)
    place = folder / RANKINGS
    users = _encode(place, dataset.users, arrays["user_ids"], "user", dataset)
    items = _encode(place, dataset.items, arrays["item_ids"], "item", dataset)
    count = len(users)
    shapes = {"user_ids": (count,), "item_ids": items.shape, "num_ranked": (count,), "scores": items.shape}
    for name, shape in (shapes | {"part": (count,)}).items():
        if arrays[name].shape != shape or (name == "item_ids" and (len(shape) != 2 or shape[0] != count)):
            raise UserError(f"{place}: {name} has shape {list(arrays[name].shape)}; make the step ranking anew")
    if len(np.unique(users)) < count or _repeats(items):
        raise UserError(f"{place}: found a user or an item of a list twice; make the step ranking anew")
    order = np.argsort(users)
    return Rankings(
        users[order],
        items[order],
        arrays["num_ranked"][order].astype(np.int32),
        arrays["scores"][order].astype(np.float32),
        (arrays["part"] == "valid")[order],
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return {name: saved[name] for name in _FIELDS}
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a whole {RANKINGS} ({reason})") from error


def _encode(path: Path, known: IdMap, raw: np.ndarray, kind: str, dataset: Dataset) -> np.ndarray:
    """Ids of raw ones, -1 of ""."""
    found = known.encode(raw.ravel().tolist())
    unknown = np.flatnonzero((found < 0) & (raw.ravel().astype(str) != ""))
    if len(unknown):
        raise UserError(f"{path}: {kind} {str(raw.ravel()[unknown[0]])!r} is not in data set {dataset.name}")
    return found.reshape(raw.shape).astype(np.int32)


def _repeats(items: np.ndarray) -> bool:
    ordered = np.sort(items, axis=1)
    return bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any())
