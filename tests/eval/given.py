"""Small data sets of known shape, and a model whose vectors are given."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.models.base import ItemVectors


@dataclasses.dataclass(frozen=True)
class GivenVectors:
    """Scores by vectors that are its parameters: {"user": [U, K, D], "item": [I, D], "bias": [I]}."""

    def encode(self, params, ctx):
        return params

    def user_vectors(self, encoded, batch):
        return encoded["user"][batch["user_ids"]]

    def item_vectors(self, encoded):
        return ItemVectors(encoded["item"], encoded["bias"])


@dataclasses.dataclass(frozen=True)
class GivenScores:
    """The same scores, given by the model itself: what its vectors are, nobody else knows."""

    def encode(self, params, ctx):
        return params

    def score(self, encoded, batch, item_ids):
        vectors = encoded["user"][batch["user_ids"]]
        scores = jnp.einsum("bkd,id->bki", vectors, encoded["item"]).max(1) + encoded["bias"][None]
        return scores if item_ids is None else jnp.take_along_axis(scores, item_ids, axis=1)

    def score_floats(self, encoded):
        return encoded["user"].shape[1] * encoded["item"].shape[0]


def build_dataset(num_users, num_items, parts):
    """Data set of three lists of (user, item) pairs."""
    users = IdMap(np.asarray([f"u{i}" for i in range(num_users)]))
    items = IdMap(np.asarray([f"i{i}" for i in range(num_items)]))

    def interactions(pairs):
        pairs = np.asarray(pairs, np.int32).reshape(-1, 2)
        return Interactions(pairs[:, 0], pairs[:, 1], users, items)

    train, valid, test = map(interactions, parts)
    return Dataset("tiny", "path", train, valid, test, "0" * 64, {})


def random_dataset(rng, num_users=60, num_items=90, single_target=False):
    """Ragged lists with repeats, overlaps between all parts, and users without a target."""

    def pairs(low, high):
        return [(u, i) for u in range(num_users) for i in rng.integers(0, num_items, rng.integers(low, high + 1))]

    if single_target:
        test = [(u, int(rng.integers(num_items))) for u in range(num_users)]
        return build_dataset(num_users, num_items, (pairs(1, 40), pairs(0, 3), test))
    return build_dataset(num_users, num_items, (pairs(0, 40), pairs(0, 6), pairs(0, 20)))


def random_params(rng, dataset, num_interests=1, dim=8, levels=None):
    """Random vectors; with `levels`, small whole numbers, so that many scores are equal (and exact)."""

    def draw(*shape):
        values = rng.normal(size=shape) if levels is None else rng.integers(-levels, levels + 1, shape)
        return jnp.asarray(values, jnp.float32)

    return {
        "user": draw(dataset.num_users, num_interests, dim),
        "item": draw(dataset.num_items, dim),
        "bias": draw(dataset.num_items),
    }
