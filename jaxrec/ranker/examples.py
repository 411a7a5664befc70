"""What a prompt tells of each user, and the answer to learn: history, sentiments, pool and targets, as item ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from jaxrec.data.chronology import grouped_by_user, times_of
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.data.stable_hash import numbers, user_hashes
from jaxrec.models.sealr_config import ASKED, PromptConfig
from jaxrec.precompute.sentiment.labels import PartLabels
from jaxrec.ranker.names import ItemTexts
from jaxrec.ranker.prompt_text import Prompt

Supervision = Literal["last_two", "last_one", "pad_retriever"]


@dataclasses.dataclass(frozen=True)
class Example:
    """One user. history: training items, oldest first; sentiments: a class each, () where none are told.

    candidates: in the order in which they are shown. preference: keywords of PALR. answer: items, () where there is
    none to learn.
    """

    user: int
    history: tuple[int, ...]
    candidates: tuple[int, ...]
    sentiments: tuple[int, ...] = ()
    preference: tuple[str, ...] = ()
    answer: tuple[int, ...] = ()


def make_examples(
    dataset: Dataset,
    user_ids: np.ndarray,
    pools: np.ndarray,
    prompt: PromptConfig,
    seed: int,
    labels: Mapping[str, PartLabels] | None = None,
    preferences: Mapping[int, Sequence[str]] | None = None,
    supervision: Supervision | None = None,
) -> list[Example]:
    """One a user of `user_ids` [n]. pools: [n, C] int32, as the retriever orders them, -1 behind the last.

    The history is the training part alone: neither of a user's last two items, nor what was written of them, is told
    (SEALR, section 2.3). Candidates are shown in an order that follows from the raw user id and the seed. labels: of
    the step "sentiment", needed where the prompt tells sentiments. supervision: None where there is nothing to learn.

    Raises: ValueError where labels are needed and absent, or an item to learn is not in the user's pool.
    """
    if prompt.sentiment and labels is None:
        raise ValueError("a prompt with sentiments needs labels")
    train = dataset.train
    rows, indptr = rows_in_order(train, dataset.num_users)
    hashes = user_hashes(train, seed)
    targets = [_first_items(part, dataset.num_users) for part in (dataset.test, dataset.valid)]
    examples = []
    for user, listed in zip(user_ids.tolist(), pools, strict=True):
        mine = rows[max(indptr[user], indptr[user + 1] - prompt.history) : indptr[user + 1]]
        pool = listed[listed >= 0]
        shown = np.argsort(numbers(int(hashes[user]), 0, len(pool)), kind="stable")
        told = labels["train"].sentiment[mine].tolist() if prompt.sentiment and labels is not None else []
        answer: list[int] = []
        if supervision is not None:
            # The last item first, then the one before it (SEALR, section 2.3).
            answer = [
                int(items[user]) for items in targets[: 1 if supervision == "last_one" else 2] if items[user] >= 0
            ]
            if supervision == "pad_retriever":
                answer += [item for item in pool.tolist() if item not in answer][: max(ASKED - len(answer), 0)]
            if not answer or not set(answer) <= set(pool.tolist()):
                raise ValueError(f"user {user}: the items to learn, {answer}, are not all in the pool")
        examples.append(
            Example(
                user=user,
                history=tuple(train.item_ids[mine].tolist()),
                candidates=tuple(pool[shown].tolist()),
                sentiments=tuple(told),
                preference=tuple(preferences[user]) if preferences is not None else (),
                answer=tuple(answer),
            )
        )
    return examples


def sentiment_text(label: int) -> str:
    """As the paper writes it: "Strong Positive"."""
    return SENTIMENTS[label].title()


def prompt_of(example: Example, texts: ItemTexts, config: PromptConfig) -> Prompt:
    """The words of an example, uncut."""
    return Prompt(
        category=config.category,
        history=tuple(texts.texts[item] for item in example.history),
        candidates=tuple(texts.texts[item] for item in example.candidates),
        sentiments=tuple(sentiment_text(label) for label in example.sentiments),
        preference=example.preference,
    )


def rows_in_order(part: Interactions, num_users: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a part by user and of one user in order (jaxrec.data.chronology), [n], and where each begins, [U + 1]."""
    order = np.arange(len(part)) if part.timestamps is None else np.argsort(times_of(part), kind="stable")
    sizes = np.bincount(part.user_ids, minlength=num_users)
    return grouped_by_user(order, part.user_ids, num_users), np.concatenate([[0], np.cumsum(sizes)])


def _first_items(part: Interactions, num_users: int) -> np.ndarray:
    """The item of each user's first row of a part, -1 where there is none: [U] int32."""
    items = np.full(num_users, -1, np.int32)
    items[part.user_ids[::-1]] = part.item_ids[::-1]
    return items
