"""Words as the rules read them: how rare, of which type of motivation, and whether a text praises or complains."""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Rarity = Mapping[str, float]
"""Word -> log of (texts + 1) / (texts that hold it + 1): 0 for what all say."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LEAST_LETTERS, _STEM_LETTERS = 3, 4
WORDS = Path(__file__).with_name("motivation_words.toml")
_REACH = 3
"""So many words after a negation are turned round."""


def words_of(text: str) -> list[str]:
    """Lower-case words of three letters and more that may say why, in their order; opinions and fillers left out."""
    return [word for word in _all_words(text) if len(word) >= _LEAST_LETTERS and _says_why(word)]


def rarity_of(documents: Iterable[str]) -> Rarity:
    """How rare each word is among the documents."""
    count, held = 0, Counter[str]()
    for document in documents:
        count += 1
        held.update(set(words_of(document)))
    return {word: math.log((count + 1) / (number + 1)) for word, number in held.items()}


@functools.lru_cache(100_000)
def type_of(word: str) -> str:
    """The type of motivation that a word tells of; "theme" where the lists know none."""
    for name, entries in _lists()["types"].items():
        if _is_one(word, frozenset(entries)):
            return name
    return "theme"


def polarity(text: str, rating: float | None) -> int:
    """1 for praise, -1 for a complaint, 0 for neither.

    A rating decides where it is clear (4 and more, 2 and less, of 5); else the opinion words, turned round after a
    negation, do.
    """
    if rating is not None and 1 <= rating <= 5 and (rating >= 4 or rating <= 2):
        return 1 if rating >= 4 else -1
    opinion, total, negated = _lists()["opinion"], 0, 0
    for word in _all_words(text):
        sign = int(_is_one(word, frozenset(opinion["positive"]))) - int(_is_one(word, frozenset(opinion["negative"])))
        total += -sign if negated else sign
        negated = _REACH if word in opinion["negation"] else max(0, negated - 1)
    return (total > 0) - (total < 0)


def _all_words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))


@functools.lru_cache(100_000)
def _says_why(word: str) -> bool:
    lists = _lists()
    if word in lists["ignored"]["words"] or word in lists["opinion"]["negation"]:
        return False
    return not any(_is_one(word, frozenset(lists["opinion"][side])) for side in ("positive", "negative"))


def _is_one(word: str, entries: frozenset[str]) -> bool:
    if word in entries:
        return True
    return any(word[:length] in entries for length in range(_STEM_LETTERS, len(word)))


@functools.cache
def _lists() -> dict[str, Any]:
    return tomllib.loads(WORDS.read_text(encoding="utf-8"))
