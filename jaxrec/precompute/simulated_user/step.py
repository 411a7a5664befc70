"""Step "simulated_user": 2N candidates of each user in the order that an agent gave them, and the best N of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import read_item_words
from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.profiles.files import read_profiles
from jaxrec.errors import UserError
from jaxrec.precompute.profiles.step import make_profiles
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.simulated_user.agents import (
    Said,
    said_before,
    said_by_chance,
    said_by_model,
    said_by_nobody,
    said_by_oracle,
)
from jaxrec.precompute.simulated_user.candidates import Candidates, read_candidates
from jaxrec.precompute.simulated_user.config import FACTOR
from jaxrec.precompute.simulated_user.names import Order, order_by_names
from jaxrec.precompute.simulated_user.requests import NAME, PROMPTS, make_requests, rule
from jaxrec.precompute.simulated_user.task import Task, make_tasks
from jaxrec.precompute.step import Job, Made, Step

_VERSION = 1
"""Raised when the same settings come to give other lists."""


def rerank(tasks: Sequence[Task], said: Sequence[Said]) -> list[Order]:
    """What each user said as an order of their candidates; of who said nothing, the recommender's."""
    return [order_by_names(task.names, given.names or ()) for task, given in zip(tasks, said, strict=True)]


def _tasks(job: Job) -> tuple[Candidates, list[Task]]:
    config, dataset = job.config.simulated_user, job.dataset
    candidates = read_candidates(config.candidates, dataset, FACTOR * config.top)
    some = slice(config.user_limit)
    candidates = Candidates(candidates.user_ids[some], candidates.item_ids[some], candidates.source, candidates.sha256)
    folder = job.inputs.get("profiles")
    profiles = make_profiles(job) if folder is None else read_profiles(folder, dataset.users)
    words = read_item_words(job.config.data, dataset)
    return candidates, make_tasks(dataset, candidates, words, profiles, config.memory_items)


def _identity(job: Job) -> Any:
    config = job.config.simulated_user
    candidates = read_candidates(config.candidates, job.dataset, FACTOR * config.top)
    replies = None
    if config.replies is not None:
        try:
            replies = file_digest(Path(config.replies).expanduser())
        except OSError as error:
            raise UserError(f"simulated_user.replies: {config.replies}: cannot be read ({error.strerror})") from error
    names = ("agent", "template", "top", "memory_items", "things", "consumed", "oracle_noise", "seed", "user_limit")
    return {
        "version": _VERSION,
        "model": job.model if config.agent == "llm" else None,
        "candidates": candidates.sha256,
        "replies": replies,
        **{name: getattr(config, name) for name in names},
    }


def _plan(job: Job) -> Plan:
    if job.config.simulated_user.agent != "llm":
        return Plan()
    return job.plan(make_requests(_tasks(job)[1], job.config.simulated_user))


def _run(job: Job, folder: Path) -> Made:
    config, dataset = job.config.simulated_user, job.dataset
    candidates, tasks = _tasks(job)
    if config.agent == "llm":
        said, model = said_by_model(tasks, job.ask(make_requests(tasks, config)), config.template), job.model
    elif config.agent == "replay":
        said, model = said_before(tasks, str(config.replies)), "replay"
    elif config.agent == "oracle":
        said, model = said_by_oracle(tasks, dataset, config.oracle_noise, config.seed), "oracle"
    elif config.agent == "random":
        said, model = said_by_chance(tasks, dataset, config.seed), "random"
    else:
        said, model = said_by_nobody(tasks), "identity"
    orders = rerank(tasks, said)
    _write(folder, tasks, said, orders, dataset, config.top)
    answered = [(given, order) for given, order in zip(said, orders, strict=True) if given.names is not None]
    counts = {
        "candidates": sum(len(task.names) for task in tasks),
        "named": sum(order.named for _, order in answered),
        "repeated": sum(order.repeated for _, order in answered),
        "missing": sum(order.missing for _, order in answered),
        "unknown_names": sum(len(order.unknown) for _, order in answered),
        "users_without_answer": len(tasks) - len(answered),
        "users_in_another_order": sum(bool((np.diff(order.order) < 0).any()) for _, order in answered),
    }
    told = "left out by the agent (not accepted, or forgotten)" if config.template != "rank" else "forgotten"
    job.notice(
        f"simulated user: {counts['named']:,} of {counts['candidates']:,} candidates named, "
        f"{counts['missing']:,} {told}, "
        f"{counts['repeated']:,} named twice, {counts['unknown_names']:,} names of no candidate"
    )
    return Made(
        model=model,
        rows={"user": {"rows": len(tasks), "present": len(answered)}},
        complete=not any(given.again for given in said),
        extra={
            "agent": config.agent,
            "template": config.template,
            "top": config.top,
            "candidates_from": candidates.source,
            "candidates_sha256": candidates.sha256,
            "counts": counts,
            # The oracle looks at what is to be predicted: its lists are a simulation and no result.
            "reads_held_out": config.agent == "oracle",
        },
    )


def _write(
    folder: Path, tasks: Sequence[Task], said: Sequence[Said], orders: Sequence[Order], dataset: Dataset, top: int
) -> None:
    """topk.npz in the form of a run's (scores are the negative ranks), and feedback.jsonl, which `replay` reads."""
    lists = np.full((len(tasks), top), "", dataset.items.raw.dtype)
    with (folder / "feedback.jsonl").open("w", encoding="utf-8") as file:
        for row, (task, given, order) in enumerate(zip(tasks, said, orders, strict=True)):
            kept = [task.raw_items[place] for place in order.order.tolist()][:top]
            lists[row, : len(kept)] = kept
            line = {
                "user": task.raw_user,
                "candidates": task.raw_items,
                "said": given.names,
                "comments": given.comments,
                "order": order.order.tolist(),
                "named": order.named,
                "repeated": order.repeated,
                "missing": order.missing,
                "unknown": order.unknown,
            }
            file.write(json.dumps(line) + "\n")
    scores = np.broadcast_to(-np.arange(top, dtype=np.float32), lists.shape)
    users = np.array([task.raw_user for task in tasks], dataset.users.raw.dtype)
    np.savez_compressed(folder / "topk.npz", allow_pickle=False, user_ids=users, item_ids=lists, scores=scores)


STEP = Step(
    name=NAME,
    summary="a simulated user puts twice as many candidates as are wanted into order (UiM)",
    run=_run,
    plan=_plan,
    identity=_identity,
    needs=("profiles",),
    prompts=PROMPTS,
    rules={NAME: rule},
)
