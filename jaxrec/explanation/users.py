"""Explanations of users as JSON: their profile, their interests, what each brings, what a simulated user said."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.item_words import ItemWords, read_item_words
from jaxrec.data.profiles.build import build_profiles
from jaxrec.errors import UserError
from jaxrec.explanation.agent import Refinement
from jaxrec.explanation.page import as_html
from jaxrec.explanation.reading import Reading, read_users
from jaxrec.run_folder import SCHEMA
from jaxrec.serve.raw_ids import known_ids

_NUM_NAMES = 2
"""Categories that an interest is called by."""


def explain_users(
    run: LoadedRun, raw_users: Sequence[str], top: int = 10, refinement: Refinement | None = None
) -> dict[str, Any]:
    """Everything that the page shows, as JSON; of the time before the test part, so that what came can be told.

    top: recommendations of users whom no agent was asked about. Raises: UserError for an unknown user.
    """
    if top < 1:
        raise UserError(f"top: found {top}, allowed: 1 or more")
    dataset, result = run.dataset, run.result
    user_ids = known_ids(raw_users, dataset.users, "user")
    words = read_item_words(run.experiment.data, dataset)
    reading = read_users(run, user_ids)
    held = run.assembly.profiles
    table = build_profiles(run.experiment.data, dataset) if held is None else held.table
    users = []
    for row, user in enumerate(user_ids.tolist()):
        agent = None if refinement is None else refinement.of(raw_users[row])
        described = table.described(user)
        users.append(
            {"user": raw_users[row], "profile": described}
            | _explained(_One(run, words, reading, row, user), described, agent, top)
            | {"agent": _agent(agent, words, dataset)}
        )
    return {
        "schema": SCHEMA,
        **{field: result[field] for field in ("name", "model", "seed", "config_hash")},
        "dataset": {field: result["dataset"][field] for field in ("name", "source", "sha256")},
        "weights": reading.kind,
        "reads_profiles": held is not None,
        "refinement": None
        if refinement is None
        else {key: refinement.record[key] for key in ("agent", "answered_by", "simulation", "top", "candidates")},
        "users": users,
    }


def write_explanation(out: pathlib.Path, explanation: dict[str, Any]) -> list[pathlib.Path]:
    """explanation.json and explanation.html in a folder; the files. Raises: UserError where it cannot be written."""
    contents = {
        "explanation.json": json.dumps(explanation, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "explanation.html": as_html(explanation),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            # A lone surrogate in a title must not cost the page.
            (out / name).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    return [out / name for name in contents]


class _One:
    """One user of a reading, with what items are called."""

    def __init__(self, run: LoadedRun, words: ItemWords, reading: Reading, row: int, user: int) -> None:
        self.dataset, self.words, self.reading, self.row = run.dataset, words, reading, row
        self.tokens = reading.history[row]
        parts = [run.dataset.train] + ([run.dataset.valid] if run.experiment.eval.mask_valid_at_test else [])
        self.targets = _items_of([run.dataset.test], user)
        # As in the evaluation: a target is never masked.
        self.seen = np.setdiff1d(_items_of(parts, user), self.targets)

    def item(self, item: int) -> dict[str, Any]:
        raw = str(self.dataset.items.raw[item])
        return {"item": raw, "title": self.words.titles[item] or raw, "categories": list(self.words.categories[item])}

    def best(self, top: int) -> list[int]:
        """The best items that were not seen, best first."""
        scores = self.reading.scores[self.row].astype(np.float64)
        scores[self.seen] = -np.inf
        order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")[:top]
        return [item for item in order.tolist() if np.isfinite(scores[item])]

    def events(self, values: np.ndarray | None) -> list[float]:
        """Of the user's real events, the oldest first."""
        return [] if values is None else [round(float(value), 6) for value in values[self.tokens > 0]]


def _explained(one: _One, profile: dict[str, str], agent: dict[str, Any] | None, top: int) -> dict[str, Any]:
    reading, row, dataset = one.reading, one.row, one.dataset
    history = [one.item(token - 1) for token in one.tokens[one.tokens > 0].tolist()]
    items = one.best(top) if agent is None else dataset.items.encode(agent["shown"]).tolist()
    after = {} if agent is None else {raw: place for place, raw in enumerate(agent["kept"], start=1)}
    recommendations = []
    for place, item in enumerate(items, start=1):
        told = one.item(item)
        recommendations.append(
            told
            | {
                "rank": place,
                "score": _number(reading.scores[row, item]),
                "interest": None if reading.winner is None else int(reading.winner[row, item]),
                "taken": bool(np.isin(item, one.targets)),
                "kept_at": None if agent is None else after.get(told["item"]),
            }
        )
    gates = one.events(None if reading.item_gates is None else reading.item_gates[row])
    interests = []
    weights = [] if reading.weights is None else [one.events(mine) for mine in reading.weights[row]]
    for number, called in enumerate(_names(history, weights)):
        found = None if reading.field_gates is None else reading.field_gates[row, number]
        interests.append(
            {
                "interest": number,
                "called": called,
                "weights": weights[number],
                "coupling": one.events(None if reading.coupling is None else reading.coupling[row, number]),
                "profile_gates": {}
                if found is None
                else {name: _number(gate) for name, gate in zip(reading.field_names, found, strict=True)},
                "recommends": [told["item"] for told in recommendations if told["interest"] == number],
            }
        )
    return {
        "history": history,
        "item_gates": gates,
        "interests": interests,
        "recommendations": recommendations,
        "num_taken": len(one.targets),
    }


def _names(history: Sequence[dict[str, Any]], weights: Sequence[Sequence[float]]) -> list[str]:
    """For each interest the categories that set it apart: those with most share^2 / mean share over the interests.

    "" where items have no categories or an interest has no weight.
    """
    shares: list[dict[str, float]] = []
    for mine in weights:
        sums: dict[str, float] = {}
        for told, weight in zip(history, mine, strict=True):
            for name in told["categories"]:
                sums[name] = sums.get(name, 0.0) + max(weight, 0.0) / len(told["categories"])
        whole = sum(sums.values())
        shares.append({name: value / whole for name, value in sums.items() if value > 0})
    mean = {name: sum(one.get(name, 0.0) for one in shares) / len(shares) for name in set().union(*shares)}
    return [
        ", ".join(sorted(one, key=lambda name: (-(one[name] ** 2) / mean[name], name))[:_NUM_NAMES]) for one in shares
    ]


def _agent(agent: dict[str, Any] | None, words: ItemWords, dataset: Dataset) -> dict[str, Any] | None:
    """What was said, with titles beside the ids that were kept."""
    if agent is None:
        return None
    places = dataset.items.encode(agent["kept"]).tolist()
    kept = [
        {"item": raw, "title": (words.titles[place] if place >= 0 else "") or raw}
        for raw, place in zip(agent["kept"], places, strict=True)
    ]
    return {name: value for name, value in agent.items() if name != "shown"} | {"kept": kept}


def _items_of(parts: Sequence[Interactions], user: int) -> np.ndarray:
    """Items of a user in any of the parts, sorted, without repeats."""
    return np.unique(np.concatenate([part.item_ids[part.user_ids == user] for part in parts]))


def _number(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
