"""What a user likes in a few keywords, for the prompts of PALR: counted, or written by a language model."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.prompts import read_prompt
from jaxrec.precompute.requests import Answer, Failure, Message, Request
from jaxrec.precompute.untrusted_text import data_block
from jaxrec.ranker.examples import rows_in_order
from jaxrec.ranker.names import NAME_CHARS, plain_name

SUMMARY = "palr_summary"
NUM_KEYWORDS = 8
_KEYWORD_WORDS = 3
_SHORTEST = 3
_COMMON_SHARE = 0.2
"""A word in the titles of more of the items than this tells nothing of a user."""
_SCHEMA = {
    "type": "object",
    "properties": {
        "keywords": {"type": "array", "items": {"type": "string", "maxLength": 60}, "maxItems": 2 * NUM_KEYWORDS}
    },
    "required": ["keywords"],
    "additionalProperties": False,
}


def preferences(dataset: Dataset, words: ItemWords, user_ids: np.ndarray, history: int) -> dict[int, tuple[str, ...]]:
    """By user, the keywords that most of the latest `history` training items have, at most eight.

    Keywords of an item are its categories where the data set has any, else the words of its title. Of those that are
    equally frequent the one that more items of the catalogue have comes first.
    """
    keywords = _item_keywords(words)
    spread = collections.Counter(word for item in keywords for word in item)
    found = {}
    for user, items in _histories(dataset, user_ids, history):
        counts = collections.Counter(word for item in items for word in keywords[item])
        often = sorted(counts, key=lambda word: (-counts[word], -spread[word], word))
        found[user] = tuple(often[:NUM_KEYWORDS])
    return found


def summary_requests(dataset: Dataset, words: ItemWords, user_ids: np.ndarray, config: PromptConfig) -> list[Request]:
    """One a user, for Job.ask and Job.plan; the key is the integer id. A step that asks names SUMMARY in its prompts
    and `summary_rule` in its rules."""
    prompt = read_prompt(SUMMARY)
    counted = preferences(dataset, words, user_ids, config.history)
    titles = [plain_name(title, config.name_words) or f"item {place}" for place, title in enumerate(words.titles, 1)]
    return [
        Request(
            key=str(user),
            step=SUMMARY,
            messages=(
                Message("system", prompt.text.replace("{category}", config.category)),
                Message("user", data_block({"history": [titles[item] for item in items]}, NAME_CHARS)),
            ),
            prompt_version=prompt.version_with(_SCHEMA),
            schema=_SCHEMA,
            schema_name="keywords",
            max_tokens=200,
            expected_tokens=40,
            facts={"keywords": counted[user]},
        )
        for user, items in _histories(dataset, user_ids, config.history)
    ]


def summary_rule(request: Request) -> dict[str, Any]:
    """Without a model: the counted keywords."""
    return {"keywords": list(request.facts["keywords"])}


def written_preferences(
    requests: Sequence[Request], answers: Mapping[str, Answer | Failure]
) -> dict[int, tuple[str, ...]]:
    """By user, what was answered, cleaned as names are; where nothing was, the counted keywords."""
    found = {}
    for request in requests:
        answer = answers[request.key]
        said = answer.value["keywords"] if isinstance(answer, Answer) else request.facts["keywords"]
        cleaned = (plain_name(word, _KEYWORD_WORDS) for word in said)
        found[int(request.key)] = tuple(dict.fromkeys(filter(None, cleaned)))[:NUM_KEYWORDS]
    return found


def _item_keywords(words: ItemWords) -> list[tuple[str, ...]]:
    if any(words.categories):
        return [_distinct(plain_name(name, _KEYWORD_WORDS) for name in item) for item in words.categories]
    titles = [_distinct(_title_words(title)) for title in words.titles]
    spread = collections.Counter(word for item in titles for word in item)
    most = max(_COMMON_SHARE * len(titles), 1)
    return [tuple(word for word in item if spread[word] <= most) for item in titles]


def _title_words(title: str) -> list[str]:
    plain = plain_name(title, NAME_CHARS).casefold().split()
    # Two letters are a word where writing is not alphabetic.
    return [word for word in plain if not word.isascii() or (len(word) >= _SHORTEST and not word.isdigit())]


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, names)))


def _histories(dataset: Dataset, user_ids: np.ndarray, most: int) -> list[tuple[int, list[int]]]:
    """Users and the items of their latest training rows."""
    rows, indptr = rows_in_order(dataset.train, dataset.num_users)
    return [
        (user, dataset.train.item_ids[rows[max(indptr[user], indptr[user + 1] - most) : indptr[user + 1]]].tolist())
        for user in user_ids.tolist()
    ]
