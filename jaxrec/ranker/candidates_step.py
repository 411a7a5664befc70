"""Step "candidates": each user's best items by a finished run, which read the training history alone."""

from __future__ import annotations

import dataclasses
import pathlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.assembly import load_run, recorded_run
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.prepared import dataset_sha256
from jaxrec.data.source import digest
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import load_per_user, save_arrays
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.pools import Pools, write_pools
from jaxrec.eval.ranking import FullRanking
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step
from jaxrec.ranker.folders import write_retriever
from jaxrec.ranker.users import halves

_VERSION = 1
"""Raised when the same settings come to give other pools."""


def make_pools(
    dataset: Dataset, user_ids: np.ndarray, ranked: np.ndarray, scores: np.ndarray, count: int, inject_target: bool
) -> Pools:
    """Pools of `count` items out of lists that are one longer.

    user_ids: [n] int32, ascending. ranked: [n, count + 1] int32, best first, -1 behind the last, seen training items
    left out; scores: the same shape. Of users who are evaluated, the validation item is no candidate (it would compete
    with the target), and the target is put in only with inject_target. Users who may be tuned on learn from both
    held-out items, so both are put in. What is put in takes the place of the lowest.
    """
    _, second_half = halves(dataset)
    evaluation = np.isin(user_ids, second_half)
    first, last = (_items_of(part, dataset)[user_ids] for part in (dataset.valid, dataset.test))
    dropped = (ranked == first[:, None]) & evaluation[:, None]
    order = np.argsort(dropped, axis=1, kind="stable")[:, :count]
    items = np.take_along_axis(np.where(dropped, -1, ranked), order, axis=1)
    kept_scores = np.take_along_axis(np.where(dropped, np.nan, scores), order, axis=1).astype(np.float32)
    kept_scores[items < 0] = np.nan
    injected = {}
    for name, wanted, rows in (("last", last, ~evaluation | inject_target), ("first", first, ~evaluation)):
        injected[name] = rows & ~(items == wanted[:, None]).any(axis=1)
        for row in np.flatnonzero(injected[name]):
            place = _lowest(items[row], (first[row], last[row]))
            items[row, place], kept_scores[row, place] = wanted[row], np.nan
    return Pools(user_ids, last, items, kept_scores, injected["last"], injected["first"], evaluation)


def _lowest(items: np.ndarray, held_out: tuple[int, int]) -> int:
    """The first empty place of a list, or else the last that holds neither held-out item."""
    empty = np.flatnonzero(items < 0)
    return int(empty[0]) if len(empty) else int(np.flatnonzero(~np.isin(items, held_out))[-1])


def _items_of(part: Interactions, dataset: Dataset) -> np.ndarray:
    """[U] int32, the one item of each user in a part, -1 where there is none."""
    items = np.full(dataset.num_users, -1, np.int32)
    items[part.user_ids] = part.item_ids
    return items


def _retriever(job: Job) -> tuple[pathlib.Path, dict[str, Any]]:
    """Folder and result of the run. Raises: UserError where it is missing, unfinished, or of other data."""
    config = job.config.candidates
    if config.retriever is None:
        raise UserError(
            "candidates.retriever: found none, allowed: the folder of a finished run on the same data "
            "(python -m jaxrec.launch --config FILE makes one)"
        )
    folder = pathlib.Path(config.retriever).expanduser()
    _, result = recorded_run(folder)
    theirs = result["dataset"]["sha256"]
    # Runs read the data without reviews unless they ask for them; interactions and ids are the same.
    if theirs not in (job.dataset.sha256, dataset_sha256(dataclasses.replace(job.config.data, reviews=False))):
        raise UserError(
            f"candidates.retriever: {folder}: found a run on data {result['dataset']['name']} {theirs[:12]}, allowed: "
            f"one on {job.dataset.name} {job.dataset.sha256[:12]}, with the same filter and split"
        )
    return folder, result


def _identity(job: Job) -> Any:
    config, (_, result) = job.config.candidates, _retriever(job)
    return {
        "version": _VERSION,
        "retriever": result["config_hash"],
        # The same configuration on other devices can end in other parameters.
        "found": digest({"best_step": result["best_step"], "protocols": result["protocols"]}),
        **{name: getattr(config, name) for name in ("count", "inject_target", "seed")},
    }


def _run(job: Job, folder: Path) -> Made:
    config, dataset = job.config.candidates, job.dataset
    run_folder, result = _retriever(job)
    if config.count > dataset.num_items:
        raise UserError(
            f"candidates.count: found {config.count}, allowed: at most {dataset.num_items}, the items of {dataset.name}"
        )
    run = load_run(run_folder, job.notice)
    evaluation = EvalConfig(k=(1,), mask_valid_at_test=False, save_topk=config.count + 1)
    ranking = FullRanking(run.dataset, "test", evaluation, run.assembly.mesh)
    found = ranking.evaluate(run.model, run.params, run.assembly.context("valid"), lists=True)
    assert found.topk_items is not None
    assert found.topk_scores is not None
    user_ids = dataset.users.encode(run.dataset.users.decode(found.user_ids).tolist())
    there = found.topk_items >= 0
    items = np.full((len(user_ids), config.count + 1), -1, np.int32)
    scores = np.full(items.shape, np.nan, np.float32)
    width = found.topk_items.shape[1]
    here = dataset.items.encode(run.dataset.items.raw.tolist())
    items[:, :width] = np.where(there, here[np.maximum(found.topk_items, 0)], -1)
    scores[:, :width] = found.topk_scores
    chosen = np.sort(np.concatenate(halves(dataset)))
    row_of_user = np.full(dataset.num_users, -1, np.int64)
    row_of_user[user_ids] = np.arange(len(user_ids))
    rows = row_of_user[chosen]
    pools = make_pools(dataset, chosen, items[rows], scores[rows], config.count, config.inject_target)
    write_pools(folder, pools, dataset)
    _keep_own_metrics(run_folder, result, folder)
    write_retriever(folder, run_folder)
    counts = _counts(pools)
    reached, evaluated = counts["targets_found"], counts["evaluation_users"]
    job.notice(
        f"candidates: {result['model']} put the target of {reached:,} of {evaluated:,} evaluation users "
        f"({100 * reached / evaluated:.1f} %) into their {config.count}"
        + (f"; {counts['targets_injected']:,} were put in" if config.inject_target else "")
    )
    return Made(
        model=f"{result['model']} {result['config_hash']}",
        rows={"user": {"rows": dataset.num_users, "present": len(chosen)}},
        extra={
            "retriever": {name: result[name] for name in ("name", "model", "config_hash", "seed", "best_step")},
            "count": config.count,
            "inject_target": config.inject_target,
            "counts": counts,
            "pools_sha256": pools.sha256,
        },
    )


def _counts(pools: Pools) -> dict[str, int]:
    """Of evaluation users: pools with the target, by the retriever or by injection, and the smallest pool."""
    evaluated = pools.take(pools.evaluation)
    return {
        "evaluation_users": len(evaluated.user_ids),
        "targets_found": int((evaluated.in_pool & ~evaluated.target_injected).sum()),
        "targets_injected": int(evaluated.target_injected.sum()),
        "smallest_pool": int((pools.item_ids >= 0).sum(axis=1).min()),
    }


def _keep_own_metrics(run_folder: Path, result: dict[str, Any], folder: Path) -> None:
    """What the retriever found for each user under full ranking, if it did, to stand beside the rankings."""
    if "full" in result["protocols"] and (run_folder / "per_user.npz").is_file():
        users, values = load_per_user(run_folder, "test")
        columns = {f"test/{name}": column for name, column in values.items()}
        save_arrays(folder / "per_user.npz", {"test/user_ids": users} | columns)


STEP = Step(
    name="candidates",
    summary="the items that a language model is to put in order: the best of a run (SEALR)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
)
