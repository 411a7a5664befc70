"""Text vectors of users and items, and what every source of them shares."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class TextFeatures:
    """Text vectors aligned to the integer ids of a dataset.

    user: [U, T] float32. item: [I, T] float32. user_mask: [U] bool, item_mask: [I] bool, True = has text; a row
    without text is zero. source: "given", "tfidf" or "encoder". sha256: of what the vectors are made from; it belongs
    to the hash of the experiment. manifest: JSON, how they were made.
    """

    user: np.ndarray
    item: np.ndarray
    user_mask: np.ndarray
    item_mask: np.ndarray
    source: str
    sha256: str
    manifest: dict[str, Any]


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


def with_own_texts(
    users: tuple[np.ndarray, np.ndarray], own: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Text vectors of users out of those from items and those of their own reviews: ([U, T] float32, [U] bool).

    Each argument: vectors [U, T] and mask [U]. Both count half where a user has both, whatever their lengths; the
    result has the mean of the two lengths. Who has one only keeps it.
    """
    vectors = [np.where(mask[:, None], rows, 0) for rows, mask in (users, own)]
    lengths = [np.linalg.norm(rows, axis=1) for rows in vectors]
    total = sum(rows / np.maximum(length, 1e-30)[:, None] for rows, length in zip(vectors, lengths, strict=True))
    size = np.linalg.norm(total, axis=1)
    has_both = (lengths[0] > 0) & (lengths[1] > 0)
    mask = size > 1e-6
    scale = np.where(mask, (lengths[0] + lengths[1]) / np.where(has_both, 2, 1) / np.maximum(size, 1e-30), 0)
    return (total * scale[:, None]).astype(np.float32), mask


def truncated(vectors: np.ndarray, mask: np.ndarray, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, T] cut to their first `width` columns, each brought back to its length, and their mask [n] bool.

    For models whose first columns stand alone; None changes nothing. A row with nothing left has no text.

    Raises: UserError where there are fewer columns.
    """
    if width is None:
        return vectors, mask
    if width > vectors.shape[1]:
        raise UserError(f"text.truncate_dim: found {width}, allowed: at most {vectors.shape[1]}, the vectors' width")
    cut = vectors[:, :width]
    before, after = np.linalg.norm(vectors, axis=1), np.linalg.norm(cut, axis=1)
    kept = mask & (after > 1e-6 * before)
    scale = np.where(kept, before / np.maximum(after, 1e-30), 0)
    return (cut * scale[:, None]).astype(np.float32), kept
