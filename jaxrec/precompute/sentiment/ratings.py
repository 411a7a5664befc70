"""Sentiment from ratings, where there is no model to read the texts."""

from __future__ import annotations

import numpy as np

from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.mapping import NEUTRAL


def sentiments_of_ratings(ratings: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """Class ids [n] int8 of ratings [n]: the scale from lowest to highest in five steps, the nearest taken.

    On 1 to 5 that is one star a sentiment; halves go to the better one. A rating that is no number is neutral.
    Raises: UserError where a rating lies outside the scale, or the scale has no length.
    """
    if not lowest < highest:
        raise UserError(f"sentiment.rating_scale: found {lowest:g} to {highest:g}; the first has to be the lower one")
    known = np.isfinite(ratings)
    outside = known & ((ratings < lowest) | (ratings > highest))
    if outside.any():
        found = float(ratings[np.argmax(outside)])
        raise UserError(
            f"sentiment.rating_scale: found a rating of {found:g} outside {lowest:g} to {highest:g}; "
            "give the scale that the ratings have"
        )
    steps = (ratings.astype(np.float64) - lowest) / (highest - lowest) * (len(SENTIMENTS) - 1)
    return np.where(known, np.floor(np.where(known, steps, 0.0) + 0.5), NEUTRAL).astype(np.int8)
