"""Text vectors from the words of the item texts: TF-IDF and a truncated SVD."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import TextFeatures, users_from_items
from jaxrec.errors import UserError


def tfidf_features(config: TextConfig, dataset: Dataset, texts: tuple[str, ...]) -> TextFeatures:
    """TF-IDF (sublinear, rows of length 1), truncated SVD from a fixed start, rows of length 1 again.

    Raises: UserError where no word stands in enough texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    for field, value in (("dim", config.dim), ("min_df", config.min_df)):
        if value < 1:
            raise UserError(f"text.{field}: {value}; at least 1 is needed")
    if len(texts) != dataset.num_items:
        raise ValueError(f"{len(texts)} item texts for {dataset.num_items} items")
    rows = np.flatnonzero([bool(text.strip()) for text in texts])
    vectorizer = TfidfVectorizer(sublinear_tf=True, norm="l2", min_df=config.min_df)
    try:
        words = vectorizer.fit_transform([texts[row] for row in rows]).astype(np.float32)
    except ValueError as error:
        # scikit-learn says so when no word is left: too rare, or nothing but punctuation.
        raise UserError(
            f"text.min_df: no word stands in {config.min_df} of the {len(rows)} item texts; lower text.min_df"
        ) from error
    width = min(config.dim, *words.shape)
    left, singular, _ = randomized_svd(words, width, random_state=0)
    kept = singular > 1e-5 * singular[0]
    vectors = left[:, kept] * singular[kept]
    lengths = np.linalg.norm(vectors, axis=1)
    # A text of rare words alone has an empty row; it counts as none.
    worded = lengths > 1e-6
    item = np.zeros((dataset.num_items, vectors.shape[1]), np.float32)
    item[rows[worded]] = vectors[worded] / lengths[worded, None]
    item_mask = np.zeros(dataset.num_items, bool)
    item_mask[rows[worded]] = True
    user, user_mask = users_from_items(item, item_mask, dataset)
    manifest = {
        "schema": 1,
        "model": "tfidf",
        "dim": item.shape[1],
        "min_df": config.min_df,
        "num_words": words.shape[1],
        "dataset_sha256": dataset.sha256,
    }
    # From the inputs, not from the vectors: those differ in the last bits from machine to machine.
    recipe = ["tfidf 1", config.dim, config.min_df, dataset.sha256, texts]
    sha256 = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return TextFeatures(user, item, user_mask, item_mask, "tfidf", sha256, manifest)
