"""The built-in sample: one small shop of games whose truth is known, for all four systems.

About 1,000 users and 600 items. Users play for one to three motivations and like two to four themes; items serve
one or two of each. A favor follows from motivation, theme, a circle of friends and popularity; clicks come before
favors, from interest, or by accident. Item texts, reviews, vectors and demographics show that truth under noise,
so that a test can ask whether a part of a model does its work. Everything follows from the seed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.sample.behaviour import CLICK, FAVOR, draw_events
from jaxrec.data.sample.taste import (
    IMAGE_NOISE,
    NUM_ITEMS,
    NUM_USERS,
    TEXT_NOISE,
    Taste,
    draw_demographics,
    draw_taste,
    draw_vectors,
)
from jaxrec.data.sample.words import REVIEWED_SHARE, draw_emotions, write_item_texts, write_reviews

VERSION = 1
"""Grows whenever the same seed would give other data; it is part of the seed and of the dataset's provenance."""

BEHAVIORS = ("click", "favor")


@dataclasses.dataclass(frozen=True, eq=False)
class Reviews:
    """What users wrote about some of their favors, in order of time: parallel columns of length n.

    rows: [n] int32 row of `Sample.interactions`. user_ids, item_ids: [n] int32. text: n strings. rating: [n]
    float32, 1 to 5. emotion: [n] int8 index into vocabulary.EMOTIONS, the emotion that the text was written with.
    """

    rows: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    text: tuple[str, ...]
    rating: np.ndarray
    emotion: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """What was planted. U users, I items; M motivations and T themes as in vocabulary.

    taste holds user_motivations [U, M], item_motivations [I, M], the themes, circles and popularity.
    accidental_clicks: [n] bool over the rows of `Sample.events`. favor_reasons: [n] int8 over the rows of
    `Sample.interactions`, the motivation behind each favor. review_emotions: [n] int8 over the reviews.
    image_vectors, text_vectors: [I, 64] float32, the items' vectors without their noise.
    """

    taste: Taste
    accidental_clicks: np.ndarray
    favor_reasons: np.ndarray
    review_emotions: np.ndarray
    image_vectors: np.ndarray
    text_vectors: np.ndarray

    @property
    def user_motivations(self) -> np.ndarray:
        """Weights of each user's motivations, [U, M] float32; rows sum to 1."""
        return self.taste.user_motivations

    @property
    def item_motivations(self) -> np.ndarray:
        """Weights of the motivations that each item serves, [I, M] float32; rows sum to 1."""
        return self.taste.item_motivations

    def scores(self) -> np.ndarray:
        """Log odds of a favor, [U, I] float64: no ranking of favors can on average be better than this one."""
        return self.taste.affinity() + self.taste.popularity


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """The sample. Raw ids are "user_0007" and "item_0123"; rows are in order of time.

    interactions: favors only, with ratings and timestamps, for models of plain user-item data. events: clicks and
    favors, with behaviors. item_text: title and description, one string an item id. image_vectors, text_vectors:
    [I, 64] float32 of length 1. demographics: trait -> [U] int8 index into vocabulary.DEMOGRAPHICS[trait].
    """

    interactions: Interactions
    events: Interactions
    item_text: tuple[str, ...]
    reviews: Reviews
    image_vectors: np.ndarray
    text_vectors: np.ndarray
    demographics: dict[str, np.ndarray]
    truth: Truth


def make_sample(seed: int = 0) -> Sample:
    """The sample of a seed; the same on every call. Every part draws from a stream of its own."""

    def stream(part: int) -> np.random.Generator:
        return np.random.default_rng([VERSION, seed, part])

    taste = draw_taste(stream(0))
    drawn = draw_events(stream(1), taste)
    users = IdMap(np.array([f"user_{index:04d}" for index in range(NUM_USERS)]))
    items = IdMap(np.array([f"item_{index:04d}" for index in range(NUM_ITEMS)]))
    events = Interactions(
        user_ids=drawn.user_ids,
        item_ids=drawn.item_ids,
        users=users,
        items=items,
        timestamps=drawn.timestamps,
        behaviors=drawn.behaviors,
        behavior_names=BEHAVIORS,
    )
    favored = drawn.behaviors == FAVOR
    interactions = Interactions(
        user_ids=drawn.user_ids[favored],
        item_ids=drawn.item_ids[favored],
        users=users,
        items=items,
        ratings=drawn.ratings[favored],
        timestamps=drawn.timestamps[favored],
    )
    reasons = drawn.reasons[favored]
    reviews = _write_reviews(stream(2), interactions, reasons)
    return Sample(
        interactions=interactions,
        events=events,
        item_text=write_item_texts(stream(3), taste.item_motivations, taste.item_themes),
        reviews=reviews,
        image_vectors=draw_vectors(stream(4), taste, IMAGE_NOISE),
        text_vectors=draw_vectors(stream(5), taste, TEXT_NOISE),
        demographics=draw_demographics(stream(6), taste),
        truth=Truth(
            taste,
            drawn.accidental,
            reasons,
            reviews.emotion,
            image_vectors=draw_vectors(stream(4), taste, 0.0),
            text_vectors=draw_vectors(stream(5), taste, 0.0),
        ),
    )


def rated_events(sample: Sample) -> Interactions:
    """The clicks and favors of the sample, the favors with their ratings, the clicks with NaN."""
    ratings = np.full(len(sample.events), np.nan, np.float32)
    ratings[sample.events.behaviors == FAVOR] = sample.interactions.ratings
    return dataclasses.replace(sample.events, ratings=ratings)


def _write_reviews(rng: np.random.Generator, favors: Interactions, reasons: np.ndarray) -> Reviews:
    """Reviews of a share of the favors."""
    rows = np.flatnonzero(rng.random(len(favors)) < REVIEWED_SHARE)
    if favors.ratings is None:
        raise ValueError("reviews are written of rated favors")
    rating = favors.ratings[rows]
    emotion = draw_emotions(rng, rating)
    return Reviews(
        rows=rows.astype(np.int32),
        user_ids=favors.user_ids[rows],
        item_ids=favors.item_ids[rows],
        text=write_reviews(rng, reasons[rows], emotion),
        rating=rating,
        emotion=emotion,
    )


__all__ = ["BEHAVIORS", "CLICK", "FAVOR", "VERSION", "Reviews", "Sample", "Truth", "make_sample", "rated_events"]
