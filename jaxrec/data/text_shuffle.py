"""The control experiment for text: the same texts, each with another item."""

from __future__ import annotations

import numpy as np

from jaxrec.data.stable_hash import numbers

_SEED = 2602_05474


def dealt_rows(has_text: np.ndarray) -> np.ndarray:
    """Which row's text each item gets instead of its own: [I] int64, for a mask [I] bool of who has text.

    One circle through all items with text, in a fixed random order: from two of them on, nobody keeps their own, and
    who has none gets none.
    """
    rows = np.flatnonzero(has_text)
    circle = rows[np.argsort(numbers(_SEED, 0, len(rows)), kind="stable")]
    dealt = np.arange(len(has_text))
    dealt[circle] = np.roll(circle, 1)
    return dealt


def shuffle_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of items ("" where there is none), each dealt to another item."""
    rows = dealt_rows(np.asarray([bool(text.strip()) for text in texts], bool))
    return tuple(texts[row] for row in rows)
