"""Candidates that a retriever chose for each user, as the step "candidates" keeps them, and whom they are for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap
from jaxrec.data.text_files import MANIFEST
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import save_arrays

POOLS = "candidates.npz"
RANKINGS = "ranking.npz"
_FIELDS = ("user_ids", "target_ids", "item_ids", "scores", "target_injected", "second_injected", "evaluation")


@dataclasses.dataclass(frozen=True, eq=False)
class Pools:
    """user_ids: [n] int32, ascending. target_ids: [n] int32, each user's last item, whether in the pool or not.
    item_ids: [n, C] int32, the retriever's best first, -1 behind the last; scores: [n, C] float32, NaN of what the
    retriever did not choose. target_injected, second_injected: [n] bool, the last item (the one before it) was put
    into the pool. evaluation: [n] bool, False of users who may be tuned on.
    """

    user_ids: np.ndarray
    target_ids: np.ndarray
    item_ids: np.ndarray
    scores: np.ndarray
    target_injected: np.ndarray
    second_injected: np.ndarray
    evaluation: np.ndarray

    @property
    def in_pool(self) -> np.ndarray:
        """Whether each pool holds the target, [n] bool."""
        return (self.item_ids == self.target_ids[:, None]).any(axis=1)

    @property
    def sha256(self) -> str:
        """Of users, targets and pools, in this order."""
        digest = hashlib.sha256()
        for array in (self.user_ids, self.target_ids, self.item_ids):
            digest.update(np.ascontiguousarray(array, "<i4").tobytes())
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> Pools:
        """Those of some rows, in the order given; [m] int, or [n] bool."""
        return Pools(*(getattr(self, name)[rows] for name in (field.name for field in dataclasses.fields(self))))

    def of_users(self, user_ids: np.ndarray) -> Pools:
        """Those of some users, in the order given. Raises: UserError where one has no pool."""
        places = np.minimum(np.searchsorted(self.user_ids, user_ids), len(self.user_ids) - 1)
        missing = np.flatnonzero(self.user_ids[places] != user_ids)
        if len(missing):
            raise UserError(f"candidates: {len(missing)} of {len(user_ids)} users have none; make the step anew")
        return self.take(places)


def write_pools(folder: Path, pools: Pools, dataset: Dataset) -> None:
    """candidates.npz: the fields of `Pools`, users and items by raw ids, "" where there is none."""
    arrays = {name: getattr(pools, name) for name in _FIELDS}
    arrays["user_ids"] = dataset.users.decode(pools.user_ids)
    for name in ("target_ids", "item_ids"):
        items = getattr(pools, name)
        arrays[name] = np.where(items >= 0, dataset.items.decode(np.maximum(items, 0)), "")
    save_arrays(folder / POOLS, arrays)


def read_pools(folder: Path, dataset: Dataset) -> Pools:
    """The pools of a folder of step "candidates", in this data set's ids.

    Raises: UserError where the file is missing or damaged, or was made from other data or another split.
    """
    path = folder / POOLS
    arrays = _arrays(path, _FIELDS)
    users = _encode(path, dataset, dataset.users, arrays["user_ids"], "user")
    targets = _encode(path, dataset, dataset.items, arrays["target_ids"], "item")
    items = _encode(path, dataset, dataset.items, arrays["item_ids"], "item")
    order = np.argsort(users, kind="stable")
    rest = (arrays[name] for name in _FIELDS[3:])
    pools = Pools(users, targets, items, *rest).take(order)
    if len(np.unique(users)) < len(users) or items.ndim != 2 or not (len(users) == len(items) == len(targets)):
        raise UserError(f"{path}: found no list for each user, once; make the step candidates anew")
    last = np.full(dataset.num_users, -1, np.int64)
    last[dataset.test.user_ids] = dataset.test.item_ids
    if (last[pools.user_ids] != pools.target_ids).any():
        raise UserError(f"{path}: its targets are not the test items of {dataset.name}; made from another split")
    return pools


def read_ranked(path: str, dataset: Dataset) -> tuple[Pools, Pools]:
    """The pools of validation and of test users that a folder names.

    path: of step "candidates": the half of the users who may be tuned on, and the other; or of step "ranking": the
    users that it ranked, of both kinds, in the pools that it stands on. Raises: UserError as `read_pools`.
    """
    folder = Path(path).expanduser()
    if (folder / RANKINGS).is_file():
        pools = read_pools(_candidates_of(folder), dataset)
        ranked = _arrays(folder / RANKINGS, ("user_ids", "part"))
        users = _encode(folder / RANKINGS, dataset, dataset.users, ranked["user_ids"], "user")
        valid, test = (pools.of_users(np.sort(users[ranked["part"] == part])) for part in ("valid", "test"))
        return valid, test
    if not (folder / POOLS).is_file():
        raise UserError(f"eval.pools: {path}: found neither {POOLS} nor {RANKINGS}; allowed: a folder that has one")
    pools = read_pools(folder, dataset)
    return pools.take(~pools.evaluation), pools.take(pools.evaluation)


def pools_sha256(path: str | None, dataset: Dataset) -> str | None:
    """Of the pools that a folder names, for validation and test; None of no folder. Raises: UserError."""
    if path is None:
        return None
    return hashlib.sha256("".join(pools.sha256 for pools in read_ranked(path, dataset)).encode()).hexdigest()


def candidates_folder(path: str) -> Path:
    """The folder of step "candidates" that a path names, itself or through a ranking. Raises: UserError."""
    folder = Path(path).expanduser()
    return _candidates_of(folder) if (folder / RANKINGS).is_file() else folder


def _candidates_of(folder: Path) -> Path:
    path = folder / MANIFEST
    try:
        manifest: Any = json.loads(path.read_text(encoding="utf-8"))
        return folder.parent / manifest["needs"]["candidates"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: does not name the folder of its candidates; make the step ranking anew") from None


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            missing = [name for name in names if name not in saved.files]
            if missing:
                raise UserError(f"{path}: {missing[0]} is missing; allowed: a file as jaxrec.precompute writes it")
            return {name: saved[name] for name in names}
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a whole npz file: {error}") from error


def _encode(path: Path, dataset: Dataset, known: IdMap, raw: np.ndarray, kind: str) -> np.ndarray:
    """Ids of raw ones, -1 of ""; UserError for one that the data set lacks."""
    found = known.encode(raw.ravel().tolist())
    unknown = (found < 0) & (raw.ravel() != "")
    if unknown.any():
        first = str(raw.ravel()[np.flatnonzero(unknown)[0]])
        raise UserError(f"{path}: {kind} {first!r} is not in data set {dataset.name}; made from another data set")
    return found.reshape(raw.shape).astype(np.int32)
