"""Text vectors of users and items, from a given file or from TF-IDF, each with a mask of who has text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import GivenText, read_text_files
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class TextFeatures:
    """Text vectors aligned to the integer ids of a dataset.

    user: [U, T] float32. item: [I, T] float32. user_mask: [U] bool, item_mask: [I] bool, True = has text; a row
    without text is zero. source: "given" or "tfidf". sha256: of what the vectors are made from; it belongs to the
    hash of the experiment. manifest: JSON, how they were made.
    """

    user: np.ndarray
    item: np.ndarray
    user_mask: np.ndarray
    item_mask: np.ndarray
    source: str
    sha256: str
    manifest: dict[str, Any]


def load_text(config: TextConfig, dataset: Dataset) -> TextFeatures | None:
    """The text features that the config asks for, or None where it asks for none or (`auto`) there are none.

    A user's text is built from the items of the training part only (LMMRec Eq. 1).

    Raises: UserError where the config contradicts itself, a file is missing or does not fit the dataset.
    """
    if config.path is not None and config.source in ("none", "tfidf"):
        raise UserError(f'text.source: "{config.source}" with text.path {config.path}; a path needs "auto" or "given"')
    if config.source == "none":
        return None
    if config.path is not None:
        return _align_given(read_text_files(config.path), dataset)
    if config.source == "given":
        raise UserError(
            'text.source: "given" without text.path; '
            "allowed: --text.path with a folder that holds manifest.json, or a file"
        )
    texts = dataset.item_text
    if texts is None or not any(text.strip() for text in texts):
        if config.source == "tfidf":
            raise UserError(
                f'text.source: "tfidf", but data set {dataset.name} has no item text; '
                "allowed: --text.path DIR, an item_text.jsonl in the data folder, or --model.text-source learned"
            )
        return None
    return _tfidf(config, dataset, texts)


def require_text(features: TextFeatures | None, model_name: str) -> TextFeatures:
    """The features themselves.

    Raises: UserError where there are none, naming the ways to get some.
    """
    if features is None:
        raise UserError(
            f"model {model_name} needs text features and found none; give --text.path DIR, or put item_text.jsonl "
            "into the folder that data.path names (--text.source tfidf)"
        )
    return features


def users_from_items(item: np.ndarray, item_mask: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Text vectors of users out of those of their training items, and who has one: ([U, T] float32, [U] bool).

    The mean over the user's different training items with text, brought to the mean length of those items'
    vectors, so that users and items can go through one tower (LMMRec Eq. 1: a user's text from items seen in
    training).
    """
    from scipy import sparse

    indptr, item_ids = positives_csr(dataset.train, dataset.num_users)
    seen = sparse.csr_array(
        (item_mask[item_ids].astype(np.float32), item_ids, indptr), shape=(dataset.num_users, len(item))
    )
    count = np.asarray(seen.sum(axis=1)).ravel()
    lengths = np.linalg.norm(item, axis=1)
    total = np.asarray(seen @ item)
    total_length = np.linalg.norm(total, axis=1)
    # Vectors that cancel out leave no direction to follow: such a user counts as one without text.
    user_mask = total_length > 1e-6 * np.maximum(seen @ lengths, 1e-30)
    scale = np.where(user_mask, (seen @ lengths) / np.maximum(count, 1) / np.maximum(total_length, 1e-30), 0)
    return (total * scale[:, None]).astype(np.float32), user_mask


def _tfidf(config: TextConfig, dataset: Dataset, texts: tuple[str, ...]) -> TextFeatures:
    """TF-IDF (sublinear, rows of length 1), truncated SVD from a fixed start, rows of length 1 again."""
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


def _align_given(given: GivenText, dataset: Dataset) -> TextFeatures:
    """Given rows brought into the order of the dataset's ids; users from their training items where not given."""
    built_on = given.manifest.get("dataset_sha256")
    if given.user is not None and built_on is not None and built_on != dataset.sha256:
        raise UserError(
            f"{given.path}: user texts were made on another data set or split (dataset_sha256 {str(built_on)[:12]}), "
            f"so they may tell of test items; this one is {dataset.sha256[:12]}"
        )
    item, item_mask = given.item.align(dataset.items, "items")
    if given.user is not None:
        user, user_mask = given.user.align(dataset.users, "users")
    else:
        user, user_mask = users_from_items(item, item_mask, dataset)
    return TextFeatures(user, item, user_mask, item_mask, "given", given.sha256, given.manifest)
