"""Motivations without a model: the most telling words of what was said, by type and by whether it was praise.

Telling is what an item's description and its praise repeat and the rest of the catalogue does not (TF-IDF); against an
item speak the words that its complaints have and its praise does not. A user has the words of the training items that
the user did not complain about, and of the user's own reviews.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxrec.precompute.motivation_schema import (
    MOST_EVIDENCE,
    MOST_NEGATIVE,
    MOST_POSITIVE,
    MOTIVATION_CHARS,
    QUOTE_CHARS,
    SUMMARY_CHARS,
)
from jaxrec.precompute.motivation_words import polarity, type_of, words_of
from jaxrec.precompute.requests import Request
from jaxrec.precompute.untrusted_text import clean_text

_ITEM_WORDS, _USER_WORDS, _AGAINST_WORDS = 20, 30, 8
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_UNKNOWN = "what it is"


def item_rule(request: Request) -> dict[str, Any]:
    """The answer to an item's request out of its facts: text, reviews, rarity."""
    facts = request.facts
    sides: dict[int, Counter[str]] = {1: Counter(), 0: Counter(), -1: Counter()}
    for review in facts["reviews"]:
        sides[polarity(review.text, review.rating)].update(set(words_of(review.text)))
    praise = Counter(words_of(facts["text"])) + sides[1]
    told = [("description", facts["text"]), *(("review", review.text) for review in facts["reviews"])]
    return _answer(praise + sides[0], sides[-1], praise, facts["rarity"], _ITEM_WORDS, told)


def user_rule(request: Request) -> dict[str, Any]:
    """The answer to a user's request out of its facts: items (title, value, review), rarity."""
    facts = request.facts
    liked, disliked = Counter[str](), Counter[str]()
    told: list[tuple[str, str]] = []
    for item in facts["items"]:
        value, review = item["value"], item["review"]
        pleased = polarity(review.text, review.rating)
        own = set(words_of(review.text))
        (disliked if pleased < 0 else liked).update(own)
        if pleased >= 0:
            liked.update(set(_motivation_words(value, "positive")) or set(words_of(item["title"])))
        if review.text:
            told.append(("review", review.text))
    told += [("item", item["title"]) for item in facts["items"]]
    return _answer(liked, disliked, liked, facts["rarity"], _USER_WORDS, told)


def _answer(
    speaks_for: Counter[str],
    speaks_against: Counter[str],
    praise: Counter[str],
    rarity: Mapping[str, float],
    most_words: int,
    told: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """told: sources and texts of evidence."""
    complaints = {word: count - praise[word] for word, count in speaks_against.items() if count > praise[word]}
    pros = _by_type(_telling(speaks_for, rarity, most_words), MOST_POSITIVE)
    cons = _by_type(_telling(complaints, rarity, _AGAINST_WORDS), MOST_NEGATIVE)
    evidence = _evidence(told, {word for words in (*pros.values(), *cons.values()) for word in words})
    if not pros:
        # Nothing but opinions, fillers, or signs: what stands there is all that is known.
        pros = {"theme": [evidence[0]["quote"]]}
    summary = f"Chosen for {_listed(pros)}."
    if cons:
        summary += f" Avoided for {_listed(cons)}."
    return {
        "evidence": evidence,
        "positive": _motivations(pros),
        "negative": _motivations(cons),
        "summary": clean_text(summary, SUMMARY_CHARS),
    }


def _telling(counts: Mapping[str, int], rarity: Mapping[str, float], most: int) -> list[str]:
    """The words of the highest TF-IDF, ties by the alphabet; a word that the catalogue never has counts as common."""
    weights = {word: (1 + math.log(count)) * rarity.get(word, 0.0) for word, count in counts.items()}
    ranked = sorted(weights, key=lambda word: (-weights[word], word))
    return ranked[:most]


def _by_type(words: Iterable[str], most: int) -> dict[str, list[str]]:
    """Words under their types, types in the order of their best word; the words of types beyond `most` are left out."""
    groups: dict[str, list[str]] = {}
    for word in words:
        group = type_of(word)
        if group in groups or len(groups) < most:
            groups.setdefault(group, []).append(word)
    return groups


def _motivations(groups: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    return [
        {"type": name, "motivation": clean_text(", ".join(words), MOTIVATION_CHARS)} for name, words in groups.items()
    ]


def _listed(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(words)}" for name, words in groups.items())


def _evidence(told: Sequence[tuple[str, str]], telling: set[str]) -> list[dict[str, str]]:
    """The sentence of each text that holds most of the telling words, the best texts first."""
    best: list[tuple[int, int, str, str]] = []
    for place, (source, text) in enumerate(told):
        sentences = _SENTENCE.split(text)
        scores = [len(telling & set(words_of(sentence))) for sentence in sentences]
        sentence = clean_text(sentences[scores.index(max(scores))], QUOTE_CHARS)
        if sentence and sentence not in {entry[3] for entry in best}:
            best.append((-max(scores), place, source, sentence))
    quotes = [{"source": source, "quote": quote} for _, _, source, quote in sorted(best)[:MOST_EVIDENCE]]
    return quotes or [{"source": "description", "quote": _UNKNOWN}]


def _motivation_words(value: Mapping[str, Any] | None, side: str) -> list[str]:
    return [] if value is None else [word for part in value[side] for word in words_of(part["motivation"])]
