"""Candidates in a language model's order: each scored under the shared prompt, or a list that the model writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.list_mask import ListMask, longest_list
from jaxrec.llm.score import Candidates, Scorer

_BATCHES_AT_ONCE = 8
"""So many batches are sorted into shapes together, and told as done."""

Tell = Callable[[int], None]
"""Is told how many more requests are done."""


class Request(NamedTuple):
    """One user. prompt: tokens up to where the answer begins. candidates: tokens of each, all different, [C]."""

    prompt: Sequence[int]
    candidates: Sequence[Sequence[int]]


class Ranked(NamedTuple):
    """order: places of the candidates that the model has placed, best first, [P] int64.

    scores: of all candidates, [C] float64, NaN where the model gave none. answer_tokens: that it wrote, 0 for scores.
    """

    order: np.ndarray
    scores: np.ndarray
    answer_tokens: int


def rank_by_score(
    scorer: Scorer, requests: Sequence[Request], endings: Sequence[int], tell: Tell | None = None
) -> list[Ranked]:
    """All candidates of each request by how probable it is that the answer begins with them; ties in their order.

    A score is the log-probability of the candidate's tokens and of one of `endings`, the tokens that may follow a
    whole item; without them 1 could not be less probable than 12, with which it begins. It is the sum over the
    tokens, not their mean: tuning teaches the probability of the answer, which is their product, and a mean would
    prefer long names, whose last words follow from the first. endings: () where no item begins with another.
    """
    ranked: dict[int, Ranked] = {}
    for some in _portions(requests, scorer.batch_size, tell):
        chosen = [requests[place] for place in some]
        asked = [Candidates(request.prompt, _ended(request.candidates, endings)) for request in chosen]
        for place, found in zip(some, scorer.score(asked), strict=True):
            # Behind a whole item stands one ending or another.
            scores = np.logaddexp.reduce(found.total.reshape(-1, max(len(endings), 1)), axis=1)
            ranked[place] = Ranked(np.argsort(-scores, kind="stable"), scores, 0)
    return [ranked[place] for place in range(len(requests))]


def rank_by_generation(
    generator: Generator,
    requests: Sequence[Request],
    separator: Sequence[int],
    count: int,
    tell: Tell | None = None,
) -> list[Ranked]:
    """The candidates that the model names first, greedily: `count` of each request, all where there are fewer.

    separator: tokens between two items. Nothing but candidates can come out, each once.
    """
    ranked: dict[int, Ranked] = {}
    for some in _portions(requests, generator.batch_size, tell):
        masks, prompts = [], []
        for request in (requests[place] for place in some):
            behind = [(*separator, *candidate) for candidate in request.candidates]
            masks.append(ListMask(request.candidates, behind, count, generator.stop_tokens))
            most = longest_list(request.candidates, behind, count)
            prompts.append(Prompt(request.prompt, most, mask=masks[-1]))
        for place, mask, answer in zip(some, masks, generator.generate(prompts), strict=True):
            nothing = np.full(len(requests[place].candidates), np.nan)
            ranked[place] = Ranked(np.array(mask.chosen, np.int64), nothing, len(answer.tokens))
    return [ranked[place] for place in range(len(requests))]


def full_order(ranked: Ranked) -> np.ndarray:
    """[C] places: those that the model has placed, then the others as the retriever has them, best first.

    The candidates of the request stood in the retriever's order.
    """
    others = np.setdiff1d(np.arange(len(ranked.scores)), ranked.order)
    return np.concatenate([ranked.order, others])


def _ended(candidates: Sequence[Sequence[int]], endings: Sequence[int]) -> list[tuple[int, ...]]:
    if not endings:
        return [tuple(candidate) for candidate in candidates]
    return [(*candidate, ending) for candidate in candidates for ending in endings]


def _portions(requests: Sequence[Request], batch_size: int, tell: Tell | None) -> Iterator[list[int]]:
    """Places of the requests, those with prompts of one length together: more batches are full, and less is padding."""
    order = sorted(range(len(requests)), key=lambda place: len(requests[place].prompt))
    size = _BATCHES_AT_ONCE * batch_size
    for start in range(0, len(order), size):
        some = order[start : start + size]
        yield some
        if tell is not None:
            tell(len(some))
