"""What a finished run recommends for the test part, twice as long as is wanted: what the simulated user is shown."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from jaxrec.assembly import load_run
from jaxrec.config import Experiment
from jaxrec.data.dataset import Dataset
from jaxrec.data.stable_hash import user_hashes
from jaxrec.errors import UserError
from jaxrec.eval.ranking import FullRanking
from jaxrec.precompute.simulated_user.candidates import read_candidates

_USERS_SEED = 4_057
"""Which users are chosen; apart from the seeds of splits, of noise and of chance."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """user_ids: [n] int32, ascending. item_ids: [n, C] int32, best first, -1 behind the last."""

    user_ids: np.ndarray
    item_ids: np.ndarray

    def of_some(self, dataset: Dataset, count: int | None) -> Lists:
        """Those of a random choice of so many users, which follows from raw ids alone; fewer are among more."""
        if count is None or count >= len(self.user_ids):
            return self
        hashes = user_hashes(dataset.train, _USERS_SEED)[self.user_ids]
        rows = np.sort(np.argsort(hashes, kind="stable")[:count])
        return Lists(self.user_ids[rows], self.item_ids[rows])


def own_lists(folder: pathlib.Path, experiment: Experiment[Any], dataset: Dataset, count: int) -> Lists:
    """The `count` best items of each user with a test target, under full ranking with the run's own masks.

    From topk.npz where its lists are long enough; else the run ranks anew. Raises: UserError where the catalogue has
    fewer items.
    """
    if count > dataset.num_items:
        raise UserError(f"top: {count} candidates, twice the top, are more than the {dataset.num_items} items")
    config, path = experiment.eval, folder / "topk.npz"
    if "full" in config.protocols and max(*config.k, config.save_topk) >= count and path.is_file():
        saved = read_candidates(str(path), dataset, count)
        order = np.argsort(saved.user_ids)
        return Lists(saved.user_ids[order], saved.item_ids[order])
    run = load_run(folder)
    ranking = FullRanking(dataset, "test", dataclasses.replace(config, k=(1,), save_topk=count), run.assembly.mesh)
    found = ranking.evaluate(run.model, run.params, run.assembly.context("test"), lists=True)
    assert found.topk_items is not None
    return Lists(found.user_ids, found.topk_items[:, :count])


def write_lists(path: pathlib.Path, lists: Lists, dataset: Dataset) -> None:
    """As topk.npz of a run, without scores; the file whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    items = np.where(lists.item_ids >= 0, dataset.items.decode(np.maximum(lists.item_ids, 0)), "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            users = dataset.users.decode(lists.user_ids)
            np.savez_compressed(file, allow_pickle=False, user_ids=users, item_ids=items)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
