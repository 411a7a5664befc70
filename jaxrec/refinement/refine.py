"""The loop: a run's top 2N of each user to an agent, the best N of the agent's order back, both measured."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from jaxrec.assembly import check_data, recorded_run
from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared import load_dataset
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import save_arrays
from jaxrec.eval.metrics import mean_metrics
from jaxrec.eval.ranking import FullRanking
from jaxrec.eval.ranking_name import ranking_name
from jaxrec.eval.references import popularity_reference, random_reference
from jaxrec.models.base import Context
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.precompute.registry import steps_in_order
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.simulated_user.candidates import read_candidates
from jaxrec.precompute.simulated_user.config import FACTOR
from jaxrec.precompute.stage import Output, Stage
from jaxrec.refinement.lists import Lists, own_lists, write_lists
from jaxrec.refinement.measure import METRICS, expected_of_any_order, paired_tests, values_of_lists
from jaxrec.run_folder import SCHEMA, versions, write_json

FOLDER = "refinement"
"""Inside the run folder: candidates, and by default what agents said, with the kept answers of models."""
_STEP = "simulated_user"


class _Ready(NamedTuple):
    experiment: Experiment[Any]
    result: dict[str, Any]
    dataset: Dataset
    config: PrecomputeConfig
    shown: Lists
    num_users: int
    stage: Stage


def default_config(folder: pathlib.Path) -> PrecomputeConfig:
    """Everything that is made and kept lies in the run folder."""
    return PrecomputeConfig(out=str(folder / FOLDER), name="lists", steps=(_STEP,))


def refine_run(folder: pathlib.Path, config: PrecomputeConfig, display: Display | None = None) -> dict[str, Any]:
    """Refine what a finished run recommends and measure it; the record, which is also written into the run's folder.

    Beside it stands an .npz with each user's values: user_ids [n] raw, before/<metric> and after/<metric> [n] float64.

    config: whom to ask and how, as for jaxrec.precompute (`default_config`, with changes); of config.simulated_user,
    `agent`, `top` (N) and `user_limit` (a fixed random choice of so many users) say what is done, while `candidates`
    and config.data come from the run. Ranking is full, on the test part, with the run's own masks. Answers are kept:
    the same call goes on where it was stopped and pays for nothing twice. Raises: UserError as the stage does.
    """
    with _ready(folder, config, display) as ready:
        output = ready.stage.run()[-1]
    record, per_user = _record(folder, ready, output)
    agent, key = record["agent"], output.manifest["inputs_sha256"][:8]
    path = folder / f"refinement-{agent}-top{record['top']}-{key}.json"
    save_arrays(path.with_suffix(".npz"), per_user)
    write_json(path, record)
    return record | {"path": str(path)}


def plan_run(folder: pathlib.Path, config: PrecomputeConfig, display: Display | None = None) -> dict[str, Plan | None]:
    """What `refine_run` would ask, and ask nothing."""
    with _ready(folder, config, display) as ready:
        return ready.stage.plan()


@contextlib.contextmanager
def _ready(folder: pathlib.Path, config: PrecomputeConfig, display: Display | None) -> Iterator[_Ready]:
    display = display or Display(Console(stderr=True, highlight=False))
    experiment, result = recorded_run(folder)
    if config.data not in (DataConfig(), experiment.data):
        raise UserError(f"data: found settings of their own, allowed: those of {folder}, which need not be given")
    if config.simulated_user.candidates is not None:
        raise UserError("simulated_user.candidates: found a file, allowed: none; the run's own lists are shown")
    wanted = config.simulated_user
    path = folder / FOLDER / f"candidates-{FACTOR * wanted.top}-{wanted.user_limit or 'all'}.npz"
    config = dataclasses.replace(
        config,
        data=experiment.data,
        steps=(_STEP,),
        simulated_user=dataclasses.replace(wanted, candidates=str(path), user_limit=None),
    )
    wanted.validate()
    config.validate()
    dataset = load_dataset(experiment.data, display.notice)
    check_data(folder, result, dataset, experiment.data.path)
    lists = own_lists(folder, experiment, dataset, FACTOR * wanted.top)
    shown = lists.of_some(dataset, wanted.user_limit)
    write_lists(path, shown, dataset)
    steps = steps_in_order(config.steps, config)
    with Answering(config, {name: rule for step in steps for name, rule in step.rules.items()}) as answering:
        stage = Stage(config, dataset, steps, answering, display)
        yield _Ready(experiment, result, dataset, config, shown, len(lists.user_ids), stage)


def _record(folder: pathlib.Path, ready: _Ready, output: Output) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    dataset, shown, manifest = ready.dataset, ready.shown, output.manifest
    agent, top = ready.config.simulated_user.agent, ready.config.simulated_user.top
    cutoffs = tuple(sorted({top, *(k for k in ready.experiment.eval.k if k < top)}))
    refined = _refined(output.folder, dataset, shown, top)
    before = values_of_lists(shown, dataset, cutoffs)
    after = values_of_lists(refined, dataset, cutoffs)
    ceiling = values_of_lists(shown, dataset, (FACTOR * top,))
    name = f"hit@{FACTOR * top}"
    if (after[f"hit@{top}"] > ceiling[name]).any():
        raise AssertionError(f"hit@{top} after an agent is above {name} before: it added what it was not shown")
    # A run that was ranked by sampled99 alone says nothing of full ranking.
    single = bool((np.bincount(dataset.test.user_ids) <= 1).all())
    counts, asked = manifest["counts"], len(shown.user_ids)
    per_user = {"user_ids": dataset.users.decode(shown.user_ids)}
    for when, values in (("before", before), ("after", after)):
        per_user |= {f"{when}/{metric}": column for metric, column in values.items()}
    record = {
        "schema": SCHEMA,
        **{field: ready.result[field] for field in ("name", "model", "seed", "config_hash")},
        "dataset": {field: ready.result["dataset"][field] for field in ("name", "source", "sha256")},
        "agent": agent,
        "answered_by": manifest["model"],
        "template": manifest["template"] if agent == "llm" else None,
        # It reads what is to be predicted: how much a good agent could do, and never a result.
        "simulation": bool(manifest["reads_held_out"]),
        "top": top,
        "candidates": FACTOR * top,
        "protocol": ranking_name("full", {"single_target": single}),
        "num_users": asked,
        "num_users_of_part": ready.num_users,
        "before": mean_metrics(before),
        "after": mean_metrics(after),
        "ceiling": mean_metrics({name: ceiling[name]}),
        "tests": paired_tests(before, after),
        **_references(ready, cutoffs),
        "counts": {
            "asked": asked,
            "parsed": asked - counts["users_without_answer"],
            "silent": counts["users_without_answer"],
            "in_another_order": counts["users_in_another_order"],
            **{field: counts[field] for field in ("candidates", "named", "missing", "repeated", "unknown_names")},
        },
        "complete": manifest["complete"],
        "folder": _inside(folder, output.folder),
        "manifest": manifest,
        "versions": versions(),
    }
    return record, per_user


def _inside(run: pathlib.Path, folder: pathlib.Path) -> str:
    """The folder as seen from the run's, where it lies inside, so that both may move; else its whole path."""
    run, folder = run.expanduser().absolute(), folder.expanduser().absolute()
    return str(folder.relative_to(run)) if folder.is_relative_to(run) else str(folder)


def _refined(folder: pathlib.Path, dataset: Dataset, shown: Lists, top: int) -> Lists:
    """What the agent kept, users in the order of those that were shown."""
    kept = read_candidates(str(folder / "topk.npz"), dataset, top)
    order = np.argsort(kept.user_ids)
    if not np.array_equal(kept.user_ids[order], shown.user_ids):
        raise AssertionError("the users of the refined lists are not those of the candidates")
    return Lists(kept.user_ids[order], kept.item_ids[order])


def _references(ready: _Ready, cutoffs: tuple[int, ...]) -> dict[str, Any]:
    """The masks of the ranking; what a random and a popular ranking find for the same users, and a random order of the
    same candidates."""
    dataset = ready.dataset
    ranking = FullRanking(dataset, "test", dataclasses.replace(ready.experiment.eval, k=cutoffs))
    rows = np.isin(ranking.users.user_ids, ready.shown.user_ids)
    counts = jnp.asarray(np.bincount(dataset.train.item_ids, minlength=dataset.num_items), jnp.int32)
    popular = popularity_reference(ranking, Context(item_counts=counts)).per_user
    names = [f"{name}@{k}" for k in cutoffs for name in METRICS]
    chance = random_reference(ranking, rows)
    return {
        "masked": list(ranking.users.masks),
        "reference": {
            "any_order": expected_of_any_order(ready.shown, dataset, cutoffs),
            "random": {name: chance[name] for name in names},
            "popularity": mean_metrics({name: popular[name][rows] for name in names}),
        },
    }
