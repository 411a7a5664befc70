"""Lists as a model: places become scores, and what a list does not hold can be no hit."""

import jax.numpy as jnp
import numpy as np

from jaxrec.models.base import Context
from jaxrec.models.ranked_lists import RankedLists, SEALRConfig

LISTS = np.array([[3, 0, 5], [4, -1, -1], [-1, -1, -1]], np.int32)
MODEL = RankedLists(SEALRConfig(), 3, 6)


def test_places_are_scores_and_the_rest_is_out_of_reach():
    encoded = MODEL.encode({}, Context(ranked_items=jnp.asarray(LISTS)))
    batch = {"user_ids": jnp.array([1, 0, 2])}
    out = -np.inf
    expected = np.array([[out, out, out, out, 3, out], [2, out, out, 3, out, 1], [out] * 6])
    np.testing.assert_array_equal(MODEL.score(encoded, batch, None), expected)
    some = jnp.array([[4, 0, 4], [5, 3, 1], [0, 1, 2]])
    np.testing.assert_array_equal(
        MODEL.score(encoded, batch, some), np.take_along_axis(expected, np.asarray(some), axis=1)
    )
