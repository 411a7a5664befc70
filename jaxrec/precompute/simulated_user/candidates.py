"""The lists that a recommender made, which the agent is asked about."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.prepared_cache import file_digest
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """user_ids: [n] int32. item_ids: [n, C] int32, best first, -1 behind the last. source: in words. sha256: of it."""

    user_ids: np.ndarray
    item_ids: np.ndarray
    source: str
    sha256: str


def read_candidates(path: str | None, dataset: Dataset, count: int) -> Candidates:
    """The first `count` of each list of a topk.npz; without a path the most popular items that a user has not had.

    Raises: UserError where the file is damaged, knows other users or items, repeats one, or its lists are too short.
    """
    if path is None:
        return popular_candidates(dataset, count)
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            raw_users, raw_items = saved["user_ids"], saved["item_ids"]
        sha256 = file_digest(file)
    except FileNotFoundError:
        raise UserError(f"simulated_user.candidates: {path} not found; allowed: topk.npz of a run") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: not a whole topk.npz ({str(error).splitlines()[0]})") from error
    if raw_users.ndim != 1 or raw_items.ndim != 2 or len(raw_users) != len(raw_items):
        raise UserError(
            f"{file}: shapes {list(raw_users.shape)} and {list(raw_items.shape)}; [n] and [n, K] are needed"
        )
    if raw_items.shape[1] < count:
        raise UserError(
            f"{file}: lists of {raw_items.shape[1]} items; {count} are needed: twice simulated_user.top "
            f"{count // 2} (a run keeps as many as its longest cutoff)"
        )
    raw_items = raw_items[:, :count]
    users = dataset.users.encode(raw_users.tolist())
    present = raw_items.astype(str) != ""
    items = np.where(present, dataset.items.encode(raw_items.ravel().tolist()).reshape(raw_items.shape), -1)
    for row in range(len(users)):
        if users[row] < 0:
            raise UserError(f"{file}: user {str(raw_users[row])!r} is not in data set {dataset.name}")
        unknown = present[row] & (items[row] < 0)
        if unknown.any():
            raise UserError(f"{file}: item {str(raw_items[row][unknown][0])!r} is not in data set {dataset.name}")
        mine = items[row][present[row]]
        if len(np.unique(mine)) < len(mine):
            raise UserError(f"{file}: the list of user {str(raw_users[row])!r} holds an item twice")
    if len(np.unique(users)) < len(users):
        raise UserError(f"{file}: a user has two lists; one is needed")
    return Candidates(users, items.astype(np.int32), f"{file.name} of a run", sha256)


def popular_candidates(dataset: Dataset, count: int) -> Candidates:
    """By training users, ties by id; for every user with a training item."""
    indptr, items = positives_csr(dataset.train, dataset.num_users)
    popularity = np.bincount(items, minlength=dataset.num_items)
    order = np.argsort(-popularity, kind="stable")
    users = np.flatnonzero(np.diff(indptr) > 0).astype(np.int32)
    lists = np.full((len(users), count), -1, np.int32)
    for row, user in enumerate(users.tolist()):
        seen = items[indptr[user] : indptr[user + 1]]
        # Among so many of the most popular there are enough that are new.
        head = order[: count + len(seen)]
        new = head[~np.isin(head, seen)][:count]
        lists[row, : len(new)] = new
    return Candidates(users, lists, "the most popular items", "popular 1")
