"""Scores of users over the whole catalogue: from vectors, or from a model that scores by itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax

from jaxrec.data.batch import Batch
from jaxrec.models.base import Context, Encoded, ItemVectors, Params


class VectorScorer(Protocol):
    """The part of VectorModel (models/base.py) that ranking needs."""

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation."""
        ...

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, K, D] float32."""
        ...

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """Vectors and bias of the whole catalogue."""
        ...


@runtime_checkable
class DirectScorer(Protocol):
    """The part of ScoringModel (models/base.py) that ranking needs."""

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation."""
        ...

    def score(self, encoded: Encoded, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        """[B, C] float32 of item_ids [B, C], or of all items."""
        ...

    def score_floats(self, encoded: Encoded) -> int:
        """Numbers that `score` holds for each row of the batch, beside its result."""
        ...


Scorer = VectorScorer | DirectScorer


@runtime_checkable
class SharedScorer(Protocol):
    """The part of SharedModel (models/base.py) that ranking needs."""

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation."""
        ...

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """[B, K, D] float32."""
        ...

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """Vectors and bias where their rows are."""
        ...


def encode(model: Scorer, params: Params, ctx: Context) -> tuple[Encoded, ItemVectors | None]:
    """What is computed once per evaluation; no item vectors of a model that scores by itself."""
    encoded = model.encode(params, ctx)
    return encoded, None if isinstance(model, DirectScorer) else model.item_vectors(encoded)


def floats_per_user(model: Scorer, encoded: Encoded, num_items: int) -> int:
    """About how many float32 numbers the ranking of one user holds at a time."""
    if isinstance(model, DirectScorer):
        # The scores as they come, with padding, and masked where lists are made.
        return 3 * num_items + model.score_floats(encoded)
    one = {"user_ids": jnp.zeros((1,), jnp.int32), "mask": jnp.ones((1,), bool)}
    num_interests = jax.eval_shape(model.user_vectors, encoded, one).shape[1]
    # One matrix for each interest, their maximum, and the masked scores where lists are made.
    return (num_interests + 2) * num_items


def pad_items(items: ItemVectors | None, padding: int) -> ItemVectors | None:
    """The vectors with so many more items behind the last, of which none scores above another item."""
    if items is None:
        return None
    return ItemVectors(
        jnp.pad(items.vectors, ((0, padding), (0, 0))), jnp.pad(items.bias, (0, padding), constant_values=-jnp.inf)
    )


def block_scores(
    model: Scorer, encoded: Encoded, items: ItemVectors | None, batch: Batch, padding: int = 0
) -> jax.Array:
    """Scores of a block of users, [B, I + padding] float32; items: what `encode` gave, padded by `pad_items`.

    Computed once: a comparison of scores that were computed in two ways would not be exact.
    """
    if not isinstance(model, DirectScorer):
        assert items is not None
        return all_scores(model.user_vectors(encoded, batch), items.vectors, items.bias)
    scores = lax.optimization_barrier(model.score(encoded, batch, None).astype(jnp.float32))
    return jnp.pad(scores, ((0, 0), (0, padding)), constant_values=-jnp.inf)


def all_scores(user_vectors: jax.Array, vectors: jax.Array, bias: jax.Array) -> jax.Array:
    """max over K of <u_k, i> + bias_i, [B, I] float32, of user vectors [B, K, D] and items [I, D], [I].

    Products are of full float32 precision on every device, and computed once: a comparison of scores that were
    computed in two ways would not be exact.
    """
    num_rows, num_interests, dim = user_vectors.shape
    flat = user_vectors.reshape(num_rows * num_interests, dim).astype(jnp.float32)
    vectors, bias = vectors.astype(jnp.float32), bias.astype(jnp.float32)
    folded = jax.default_backend() == "cpu"
    if folded:
        # One more number of each vector instead of one more pass over the scores; a GPU's product adds it at no cost.
        flat = jnp.pad(flat, ((0, 0), (0, 1)), constant_values=1)
        vectors = jnp.concatenate([vectors, bias[:, None]], axis=1)
    product = lax.dot_general(flat, vectors, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
    if not folded:
        product += bias[None, :]
    if num_interests > 1:
        product = jnp.max(product.reshape(num_rows, num_interests, -1), axis=1)
    return lax.optimization_barrier(product)
