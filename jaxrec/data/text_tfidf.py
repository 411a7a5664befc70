"""Text vectors from the words of the item texts: TF-IDF and a truncated SVD."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import TextFeatures, users_from_items, with_own_texts
from jaxrec.data.text_sources import Texts
from jaxrec.errors import UserError


class WordSpace(NamedTuple):
    """Directions of words that texts were fitted to.

    vectors: [n, T] float32, rows of length 1 or zero; mask: [n] bool. num_words: in the vocabulary. project: brings
    other texts into the same directions, [m, T] and [m].
    """

    vectors: np.ndarray
    mask: np.ndarray
    num_words: int
    project: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]


def fit_words(
    texts: Sequence[str], dim: int, min_df: int, kind: str = "item texts", field: str = "text.min_df"
) -> WordSpace:
    """TF-IDF (sublinear, rows of length 1), truncated SVD from a fixed start, rows of length 1 again.

    min_df: a word counts if it stands in so many texts. kind, field: what the texts are and where min_df is set, for
    messages.

    Raises: UserError where no word stands in enough texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    rows = _worded(texts)
    vectorizer = TfidfVectorizer(sublinear_tf=True, norm="l2", min_df=min_df)
    try:
        words = vectorizer.fit_transform([texts[row] for row in rows]).astype(np.float32)
    except ValueError as error:
        # scikit-learn says so when no word is left: too rare, or nothing but punctuation.
        raise UserError(f"{field}: no word stands in {min_df} of the {len(rows)} {kind}; lower {field}") from error
    left, singular, right = randomized_svd(words, min(dim, *words.shape), random_state=0)
    kept = singular > 1e-5 * singular[0]
    directions = right[kept].T

    def project(others: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        rows = _worded(others)
        if not len(rows):
            return np.zeros((len(others), directions.shape[1]), np.float32), np.zeros(len(others), bool)
        found: Any = vectorizer.transform([others[row] for row in rows])
        return _spread(found.astype(np.float32) @ directions, rows, len(others))

    vectors, mask = _spread(left[:, kept] * singular[kept], rows, len(texts))
    return WordSpace(vectors, mask, words.shape[1], project)


def tfidf_features(config: TextConfig, dataset: Dataset, texts: Texts) -> TextFeatures:
    """Vectors of item texts by `fit_words`; users from their training items and own reviews.

    Words and directions are those of the item texts; what users wrote themselves is brought into them.

    Raises: UserError where no word stands in enough texts.
    """
    for field, value in (("dim", config.dim), ("min_df", config.min_df)):
        if value < 1:
            raise UserError(f"text.{field}: {value}; at least 1 is needed")
    if len(texts.item) != dataset.num_items:
        raise ValueError(f"{len(texts.item)} item texts for {dataset.num_items} items")
    space = fit_words(texts.item, config.dim, config.min_df)
    item, item_mask = space.vectors, space.mask
    user, user_mask = users_from_items(item, item_mask, dataset)
    if texts.user is not None:
        user, user_mask = with_own_texts((user, user_mask), space.project(texts.user))
    manifest = {
        "schema": 1,
        "model": "tfidf",
        "dim": item.shape[1],
        "min_df": config.min_df,
        "num_words": space.num_words,
        "dataset_sha256": dataset.sha256,
    }
    # From the inputs, not from the vectors: those differ in the last bits from machine to machine.
    recipe = ["tfidf 1", config.dim, config.min_df, dataset.sha256, texts.item]
    if texts.user is not None:
        manifest["reviews"] = config.reviews
        recipe.append(texts.user)
    sha256 = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return TextFeatures(user, item, user_mask, item_mask, "tfidf", sha256, manifest)


def _worded(texts: Sequence[str]) -> np.ndarray:
    return np.flatnonzero([bool(text.strip()) for text in texts])


def _spread(vectors: np.ndarray, rows: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors [n, T] at length 1 in their rows of [number, T], and the mask of those rows [number] bool."""
    lengths = np.linalg.norm(vectors, axis=1)
    # A text of rare words alone has an empty row; it counts as none.
    worded = lengths > 1e-6
    spread = np.zeros((number, vectors.shape[1]), np.float32)
    spread[rows[worded]] = vectors[worded] / lengths[worded, None]
    mask = np.zeros(number, bool)
    mask[rows[worded]] = True
    return spread, mask
