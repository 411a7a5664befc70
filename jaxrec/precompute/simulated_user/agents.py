"""Who plays the user: a language model, answers kept in a file, nobody, chance, or the truth under noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.interactions import Interactions
from jaxrec.data.stable_hash import pair_hashes
from jaxrec.errors import UserError
from jaxrec.precompute.requests import Answer, Failure
from jaxrec.precompute.simulated_user.names import names_in_text
from jaxrec.precompute.simulated_user.requests import answer_key
from jaxrec.precompute.simulated_user.task import Task

_NOISE_SEED = 7_919_000_000
"""Apart from the seeds of splits: with one of theirs the noise would tell which pairs are held out."""
_CHANCE_SEED = 6_271_000_000


class Said(NamedTuple):
    """names: as the agent said them, best first; None where it said nothing. again: whether asking again may help.
    comments: what it thinks of them, in its own words."""

    names: tuple[str, ...] | None
    again: bool = False
    comments: str = ""


def said_by_model(tasks: Sequence[Task], ends: dict[str, Answer | Failure], template: str) -> list[Said]:
    """One a task, out of the answers by key."""
    said = []
    for task in tasks:
        end = ends[str(task.user)]
        if isinstance(end, Failure):
            said.append(Said(None, again=end.kind != "missing"))
        else:
            said.append(Said(tuple(end.value[answer_key(template)]), comments=str(end.value["comments"])))
    return said


def said_before(tasks: Sequence[Task], path: str | Path) -> list[Said]:
    """Out of a file with one JSON object a line: user and candidates (raw ids), said (names) or text, and comments.

    An answer counts where user and list are the same, the order of the list included; of several the last.
    Raises: UserError naming file and line of what is no such object.
    """
    path = Path(path).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"simulated_user.replies: {path}: cannot be read ({str(error).splitlines()[0]})") from error
    kept: dict[tuple[str, tuple[str, ...]], Any] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            user, listed, *answer = _kept(path, number, line)
            kept[user, listed] = answer
    said = []
    for task in tasks:
        answer, comments = kept.get((task.raw_user, task.raw_items), (None, ""))
        names = names_in_text(task.names, answer) if isinstance(answer, str) else answer
        said.append(Said(None if names is None else tuple(names), comments=comments))
    return said


def said_by_nobody(tasks: Sequence[Task]) -> list[Said]:
    """The recommender's own order."""
    return [Said(task.names) for task in tasks]


def said_by_chance(tasks: Sequence[Task], dataset: Dataset, seed: int) -> list[Said]:
    """Any order, which follows from raw ids and the seed alone: what an agent must be better than."""
    numbers = _of_candidates(tasks, dataset, _CHANCE_SEED + seed)
    return [
        Said(tuple(task.names[place] for place in np.argsort(mine, kind="stable").tolist()))
        for task, mine in zip(tasks, numbers, strict=True)
    ]


def said_by_oracle(tasks: Sequence[Task], dataset: Dataset, noise: float, seed: int) -> list[Said]:
    """The truth plus normal noise of this standard deviation, which follows from raw ids and the seed alone.

    The truth of the sample is what was planted (log odds); of other data, 1 for what the held-out parts hold and else
    0. It is a simulation of a good agent, and never a result.
    """
    truth = truth_of(dataset)
    said = []
    for task, mine in zip(tasks, _of_candidates(tasks, dataset, _NOISE_SEED + seed), strict=True):
        scores = truth(task.user, task.items) + noise * _normal(mine)
        said.append(Said(tuple(task.names[place] for place in np.argsort(-scores, kind="stable").tolist())))
    return said


def truth_of(dataset: Dataset) -> Callable[[int, np.ndarray], np.ndarray]:
    """A function of user and items [C] that gives how good each truly is, [C] float64."""
    if dataset.source == "sample":
        from jaxrec.data.sample import make_sample

        sample = make_sample()
        scores = sample.truth.scores()
        users = sample.interactions.users.encode(dataset.users.raw.tolist())
        places = sample.interactions.items.encode(dataset.items.raw.tolist())
        return lambda user, items: scores[users[user], places[items]]
    held_out = [positives_csr(part, dataset.num_users) for part in (dataset.valid, dataset.test)]

    def held(user: int, items: np.ndarray) -> np.ndarray:
        chosen = [part[indptr[user] : indptr[user + 1]] for indptr, part in held_out]
        return np.isin(items, np.concatenate(chosen)).astype(np.float64)

    return held


def _of_candidates(tasks: Sequence[Task], dataset: Dataset, seed: int) -> list[np.ndarray]:
    """For each task a random number for each of its candidates, [C] uint64."""
    sizes = [len(task.items) for task in tasks]
    users = np.repeat([task.user for task in tasks], sizes).astype(np.int32)
    items = np.concatenate([task.items for task in tasks]) if tasks else np.zeros(0, np.int32)
    pairs = Interactions(users, items.astype(np.int32), dataset.users, dataset.items)
    return np.split(pair_hashes(pairs, seed), np.cumsum(sizes)[:-1]) if tasks else []


def _normal(hashes: np.ndarray) -> np.ndarray:
    """Standard normal numbers [n] float64 out of random ones [n] uint64."""
    from scipy.special import ndtri

    return ndtri(((hashes >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53)


def _kept(path: Path, number: int, line: str) -> tuple[str, tuple[str, ...], Any, str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: line {number}: no JSON ({str(error).splitlines()[0][:80]})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: line {number}: found a JSON {type(value).__name__}; an object is needed")
    user, listed = value.get("user"), value.get("candidates")
    answer = value.get("said", value.get("text"))
    if not isinstance(user, str) or not _are_strings(listed):
        raise UserError(f"{path}: line {number}: user and candidates are needed, a raw id and a list of them")
    if not (answer is None or isinstance(answer, str) or _are_strings(answer)):
        raise UserError(f"{path}: line {number}: said is a list of names, or text is one text")
    comments = value.get("comments", "")
    if not isinstance(comments, str):
        raise UserError(f"{path}: line {number}: comments is one text")
    return user, tuple(listed or ()), answer, comments


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)
