"""Step "motivations": why items are chosen and avoided, then what moves users (LMMRec, arXiv 2602.05474, Eq. 1).

Of an item: F_m = Amass({P_act, P_pas}), out of its metadata and training reviews. Of a user: F_n, out of the
motivations of the user's training items and the user's own training reviews. Amass is the last step of the chain of
thought, the summary. Written are item.jsonl and user.jsonl, one answer a line with the raw id; who is not there is
missing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared_cache import file_digest
from jaxrec.errors import UserError
from jaxrec.precompute.motivation_requests import ITEM, PROMPTS, USER, item_requests, user_requests
from jaxrec.precompute.motivation_rules import item_rule, user_rule
from jaxrec.precompute.motivation_schema import TYPICAL
from jaxrec.precompute.motivation_words import WORDS
from jaxrec.precompute.requests import Answer, Failure, Plan, Request
from jaxrec.precompute.step import Job, Made, Step

RULES_VERSION = 1
"""Raised when the rules come to answer otherwise."""
FILES = {"item": "item.jsonl", "user": "user.jsonl"}


def run(job: Job, folder: Path) -> Made:
    """Ask about items, then about users with the items' answers. Raises: UserError where there is nothing to ask."""
    dataset, config = job.dataset, job.config.motivations
    items = item_requests(dataset, config)
    if not items and config.item_limit != 0:
        raise UserError(
            f"motivations: data set {dataset.name} has neither item text nor training reviews; allowed: an "
            "item_text.jsonl in the folder that data.path names, or --data.reviews where the source has them"
        )
    answers = {"item": _ask(job, items, "item")}
    motivations = {int(key): answer.value for key, answer in answers["item"].items() if isinstance(answer, Answer)}
    users = user_requests(dataset, config, motivations)
    waiting = _waiting_users(dataset, answers["item"])
    asked = _ask(job, [request for request in users if int(request.key) not in waiting], "user")
    later = "waits for an item without an answer: with it the question would be another, and paid for again"
    answers["user"] = {
        request.key: asked.get(request.key) or Failure(request.key, later, "failed") for request in users
    }
    ids = {"item": dataset.items.raw.tolist(), "user": dataset.users.raw.tolist()}
    for kind, name in FILES.items():
        _write(folder / name, ids[kind], answers[kind])
    rows = {kind: _counts(len(ids[kind]), answers[kind]) for kind in FILES}
    complete = not any(counts["failed"] or counts["stopped"] for counts in rows.values())
    return Made(job.model, rows, complete, extra={"backend": job.backend_name, "files": FILES})


def _waiting_users(dataset: Dataset, items: Mapping[str, Answer | Failure]) -> set[int]:
    """Users with a training item that a later run will ask about again."""
    open_items = [int(key) for key, answer in items.items() if isinstance(answer, Failure) and answer.kind != "missing"]
    return set(dataset.train.user_ids[np.isin(dataset.train.item_ids, open_items)].tolist())


def plan(job: Job) -> Plan:
    """What `run` would ask; users with a typical answer for each item that has none yet."""
    items, users, _ = _expected(job)
    return job.plan(items) + job.plan(users)


def expected_summaries(job: Job) -> list[str]:
    """What `run` would make: the summaries that are kept, and ones of their length, or typical ones, for the rest."""
    items, users, known = _expected(job)
    open_texts = len(items) + len(users) - len(known)
    like = known or [TYPICAL["summary"]]
    # Equal texts are embedded once, so these have to differ.
    return [*known, *(f"{like[number % len(like)]} {number}" for number in range(open_texts))]


def _expected(job: Job) -> tuple[list[Request], list[Request], list[str]]:
    """Requests about items, those about users as far as it can be told, and the summaries that are kept."""
    config = job.config.motivations
    items = item_requests(job.dataset, config)
    known = job.known(items)
    motivations = {int(request.key): known.get(request.key, TYPICAL) for request in items}
    users = user_requests(job.dataset, config, motivations)
    return items, users, [value["summary"] for value in (*known.values(), *job.known(users).values())]


def identity(job: Job) -> dict[str, Any]:
    """Settings and model."""
    rules = {"rules": [RULES_VERSION, file_digest(WORDS)]} if job.backend_name == "rules" else {}
    return {"settings": dataclasses.asdict(job.config.motivations), "model": job.model, **rules}


def read_motivations(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The answers of a finished step by raw id: evidence, positive, negative, summary. kind: "item" or "user"."""
    path = folder / FILES[kind]
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return {record.pop("id"): record for record in map(json.loads, filter(None, lines))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read as motivations ({error})") from error


def _ask(job: Job, requests: list[Request], kind: str) -> dict[str, Answer | Failure]:
    answers = job.ask(requests) if requests else {}
    failures = [answer for answer in answers.values() if isinstance(answer, Failure)]
    # Where a bound of spending stops the users, the items are worth having.
    bounded = kind == "user" and any(failure.kind == "stopped" for failure in failures)
    if failures and len(failures) == len(answers) and not bounded:
        raise UserError(f"motivations: none of {len(answers)} {kind} requests was answered: {failures[0].reason}")
    return answers


def _counts(rows: int, answers: Mapping[str, Answer | Failure]) -> dict[str, int]:
    kinds = [answer.kind for answer in answers.values() if isinstance(answer, Failure)]
    return {
        "rows": rows,
        "asked": len(answers),
        "present": len(answers) - len(kinds),
        "missing": kinds.count("missing"),
        "failed": kinds.count("failed"),
        "stopped": kinds.count("stopped"),
    }


def _write(path: Path, ids: list[str], answers: Mapping[str, Answer | Failure]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for key, answer in answers.items():
            if isinstance(answer, Answer):
                file.write(json.dumps({"id": ids[int(key)]} | answer.value, ensure_ascii=False) + "\n")


STEP = Step(
    name="motivations",
    summary="why items are chosen and avoided, and what moves users",
    run=run,
    plan=plan,
    identity=identity,
    prompts=tuple(name for names in PROMPTS.values() for name in names.values()),
    rules={ITEM: item_rule, USER: user_rule},
)
