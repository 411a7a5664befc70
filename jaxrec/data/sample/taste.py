"""Who likes what, and why: the planted truth that everything else in the sample follows from."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.sample.vocabulary import DEMOGRAPHICS, MOTIVATIONS, THEMES

NUM_USERS = 1000
NUM_ITEMS = 600
NUM_CIRCLES = 20
VECTOR_DIM = 64

# What a favor is made of, in units of log odds. Motivations and themes stand in an item's text; the circle (what
# a user's friends happen to pass on) does not, so neither text nor interactions alone tell everything.
MOTIVATION_STRENGTH = 3.2
THEME_STRENGTH = 3.0
CIRCLE_STRENGTH = 1.4
POPULARITY_SPREAD = 0.75

IMAGE_NOISE = 1.0
TEXT_NOISE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Taste:
    """Planted truth. U users, I items, M motivations, T themes, C circles; rows of weights sum to 1.

    user_motivations [U, M], user_themes [U, T], item_motivations [I, M], item_themes [I, T]: float32.
    user_circles [U] int32, circle_likes [C, I] bool, popularity [I] float32 (log odds).
    """

    user_motivations: np.ndarray
    user_themes: np.ndarray
    item_motivations: np.ndarray
    item_themes: np.ndarray
    user_circles: np.ndarray
    circle_likes: np.ndarray
    popularity: np.ndarray

    def affinity(self) -> np.ndarray:
        """How much each user would like each item, popularity apart: [U, I] float64, log odds."""
        why = self.user_motivations.astype(np.float64) @ self.item_motivations.T
        what = self.user_themes.astype(np.float64) @ self.item_themes.T
        friends = self.circle_likes[self.user_circles]
        # The square root keeps a user's second motivation worth following beside the first.
        return MOTIVATION_STRENGTH * np.sqrt(why) + THEME_STRENGTH * np.sqrt(what) + CIRCLE_STRENGTH * friends


def draw_taste(rng: np.random.Generator) -> Taste:
    """Draw motivations (users 1-3, items 1-2), themes (users 2-4, items 1-2), circles and popularity."""
    num_motivations, num_themes = len(MOTIVATIONS), len(THEMES)
    return Taste(
        user_motivations=_sparse_weights(rng, NUM_USERS, num_motivations, (0.3, 0.4, 0.3)),
        user_themes=_sparse_weights(rng, NUM_USERS, num_themes, (0.0, 0.3, 0.4, 0.3)),
        item_motivations=_sparse_weights(rng, NUM_ITEMS, num_motivations, (0.6, 0.4)),
        item_themes=_sparse_weights(rng, NUM_ITEMS, num_themes, (0.75, 0.25)),
        user_circles=rng.integers(0, NUM_CIRCLES, NUM_USERS).astype(np.int32),
        circle_likes=rng.random((NUM_CIRCLES, NUM_ITEMS)) < 0.08,
        popularity=rng.normal(0.0, POPULARITY_SPREAD, NUM_ITEMS).astype(np.float32),
    )


def _sparse_weights(rng: np.random.Generator, rows: int, width: int, share_of_counts: tuple[float, ...]) -> np.ndarray:
    """Rows with one, two, ... nonzero weights (in the given shares) that sum to 1: [rows, width] float32."""
    counts = 1 + rng.choice(len(share_of_counts), rows, p=share_of_counts)
    order = rng.permuted(np.tile(np.arange(width), (rows, 1)), axis=1)
    weights = rng.uniform(0.35, 1.0, (rows, width)) * (order < counts[:, None])
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def draw_demographics(rng: np.random.Generator, taste: Taste) -> dict[str, np.ndarray]:
    """One column of value indices [U] int8 a trait; each value is drawn more often under some motivations."""
    columns = {}
    for trait, values in DEMOGRAPHICS.items():
        preference = rng.normal(0.0, 1.5, (len(MOTIVATIONS), len(values)))
        logits = taste.user_motivations @ preference
        columns[trait] = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1).astype(np.int8)
    return columns


def draw_vectors(rng: np.random.Generator, taste: Taste, noise: float) -> np.ndarray:
    """Vectors of items as an encoder might give them, [I, 64] float32 of length 1.

    A random direction for every motivation and theme, mixed by the item's weights, plus noise whose expected
    length is `noise` times that of one direction.
    """
    truth = np.concatenate([taste.item_motivations, taste.item_themes], axis=1)
    directions = rng.normal(size=(truth.shape[1], VECTOR_DIM)) / np.sqrt(VECTOR_DIM)
    vectors = truth @ directions + rng.normal(size=(NUM_ITEMS, VECTOR_DIM)) * noise / np.sqrt(VECTOR_DIM)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
