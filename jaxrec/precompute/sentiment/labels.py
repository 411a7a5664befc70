"""The sentiment of every interaction: from texts by a model or a list of words, or from ratings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.data.splits import PARTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.lexicon import Lexicon, compound_scores
from jaxrec.precompute.sentiment.mapping import NEUTRAL, Mapping
from jaxrec.precompute.sentiment.ratings import sentiments_of_ratings
from jaxrec.precompute.sentiment.roberta import EmotionClassifier, EmotionModel

LEXICON_EDGES = (-0.6, -0.05, 0.05, 0.6)
"""Compound scores between the five sentiments. The inner two are VADER's own; the outer two are ours."""
_AT_ONCE = 20_000
"""Texts that are decoded at a time: all of a large data set would not fit."""


@dataclasses.dataclass(frozen=True, eq=False)
class PartLabels:
    """Of the n interactions of a part, in its order. sentiment: [n] int8 class ids, an index into SENTIMENTS.

    known: [n] bool, False where there was nothing to tell it from; such rows are neutral. emotion: [n] int8 index
    into the model's emotions, -1 where there is none; None where the source knows no emotions.
    """

    sentiment: np.ndarray
    known: np.ndarray
    emotion: np.ndarray | None = None


def labels_from_ratings(dataset: Dataset, lowest: float, highest: float) -> dict[str, PartLabels]:
    """By part. Raises: UserError where the data set has no ratings, or one lies outside the scale."""
    labels = {}
    for name, part in _parts(dataset):
        if part.ratings is None:
            raise UserError(
                f"sentiment.source: found rating, but data set {dataset.name} has no ratings; "
                "allowed: --sentiment.model DIR or --sentiment.lexicon DIR, with --data.reviews"
            )
        labels[name] = PartLabels(
            sentiments_of_ratings(part.ratings, lowest, highest), np.isfinite(part.ratings).astype(bool)
        )
    return labels


def labels_from_lexicon(dataset: Dataset, lexicon: Lexicon) -> dict[str, PartLabels]:
    """By part. Raises: UserError where the data set was read without review texts."""
    table, known = _blank(dataset, "lexicon")
    for rows, texts in _texts(dataset, known):
        table[rows] = np.digitize(compound_scores(lexicon, texts), LEXICON_EDGES)
    return {name: _of_part(part, table, known) for name, part in _parts(dataset)}


def labels_from_emotions(
    dataset: Dataset, model: EmotionModel, mapping: Mapping, notice: Callable[[str], None]
) -> dict[str, PartLabels]:
    """By part: the most probable of the 28 emotions (SEALR, section 2.1), and the sentiment that it belongs to.

    Raises: UserError where the data set was read without review texts, or the model's files do not fit.
    """
    table, known = _blank(dataset, "goemotions")
    emotions = np.full(len(table), -1, np.int8)
    sentiment_of = mapping.table(model.emotions)
    classifier = EmotionClassifier(model, notice)
    for rows, texts in _texts(dataset, known):
        emotions[rows] = np.argmax(classifier.classify(texts), axis=1)
        table[rows] = sentiment_of[emotions[rows]]
    return {name: _of_part(part, table, known, emotions) for name, part in _parts(dataset)}


def histograms(labels: dict[str, PartLabels], emotions: tuple[str, ...] = ()) -> dict[str, Any]:
    """How many interactions of each part have each sentiment, and each emotion; without_text apart from neutral."""
    report: dict[str, Any] = {}
    for name, part in labels.items():
        counts = np.bincount(part.sentiment[part.known], minlength=len(SENTIMENTS))
        report[name] = {
            "sentiments": dict(zip(SENTIMENTS, counts.tolist(), strict=True)),
            "unknown": int((~part.known).sum()),
        }
        if part.emotion is not None:
            counts = np.bincount(part.emotion[part.known], minlength=len(emotions))
            report[name]["emotions"] = dict(zip(emotions, counts.tolist(), strict=True))
    return report


def _parts(dataset: Dataset) -> list[tuple[str, Interactions]]:
    return [(name, getattr(dataset, name)) for name in PARTS]


def _blank(dataset: Dataset, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the table of review texts: all neutral [m] int8, and which hold words [m] bool."""
    reviews = dataset.reviews
    if reviews is None:
        raise UserError(
            f"sentiment.source: found {source}, but data set {dataset.name} was read without review texts; "
            "allowed: --data.reviews, or --sentiment.source rating"
        )
    known = np.fromiter((bool(reviews[row].strip()) for row in range(len(reviews))), bool, len(reviews))
    return np.full(len(reviews), NEUTRAL, np.int8), known


def _texts(dataset: Dataset, known: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
    rows = np.flatnonzero(known)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        yield some, [dataset.reviews[row] for row in some.tolist()] if dataset.reviews is not None else []


def _of_part(
    part: Interactions, table: np.ndarray, known: np.ndarray, emotions: np.ndarray | None = None
) -> PartLabels:
    if part.reviews is None:
        rows = np.full(len(part), -1)
    else:
        rows = part.reviews
    # One more place, for the -1 of rows without a review.
    return PartLabels(
        np.append(table, np.int8(NEUTRAL))[rows],
        np.append(known, False)[rows],
        None if emotions is None else np.append(emotions, np.int8(-1))[rows],
    )
