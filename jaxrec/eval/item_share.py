"""Which items a device ranks: all of them, or its share of a catalogue that no device holds whole."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.eval.scoring import DirectScorer, Scorer, SharedScorer, VectorScorer, encode
from jaxrec.models.base import Context, Encoded, ItemVectors, Params
from jaxrec.nn.sharding import Axes, by_batch, everywhere, rows_apart, sum_over_rows


@dataclasses.dataclass(frozen=True)
class ItemShare:
    """Consecutive items, equally many on each device of the mesh axes; with no axes there is one share, of all."""

    axes: Axes = ()

    def columns(self, items: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
        """Where items lie in a score matrix of `width` columns, and whether they are in this share at all."""
        if not self.axes:
            return items, jnp.ones(items.shape, bool)
        local = items - self.first(width)
        here = (local >= 0) & (local < width)
        return jnp.where(here, local, 0), here

    def first(self, width: int) -> jax.Array | int:
        """The item of the first column."""
        return jax.lax.axis_index(self.axes) * width if self.axes else 0

    def highest(self, values: jax.Array) -> jax.Array:
        """The highest of all shares' values."""
        return jax.lax.pmax(values, self.axes) if self.axes else values

    def total(self, values: Any) -> Any:
        """The sum of all shares' values, leaf by leaf."""
        return sum_over_rows(values, self.axes)


ALL_ITEMS = ItemShare()


@dataclasses.dataclass(frozen=True)
class SharesOf:
    """A vector model on a mesh: vectors of users on every device, those of items by row over all devices."""

    model: VectorScorer
    mesh: Mesh

    @property
    def share(self) -> ItemShare:
        """The share of whoever asks inside of shard_map."""
        return ItemShare(tuple(self.mesh.axis_names))

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation, wherever it lies."""
        if isinstance(self.model, SharedScorer):
            return self.model.shared_encode(params, ctx)
        return self.model.encode(params, ctx)

    def user_vectors(self, encoded: Encoded, ctx: Context, user_ids: jax.Array, mask: jax.Array) -> jax.Array:
        """[B, K, D] on every device, each having computed those of its share of the batch."""
        batch = {"user_ids": by_batch(user_ids, self.mesh), "mask": by_batch(mask, self.mesh)}
        if isinstance(self.model, SharedScorer):
            return everywhere(self.model.shared_user_vectors(encoded, ctx, batch), self.mesh)
        return everywhere(self.model.user_vectors(encoded, batch), self.mesh)

    def item_vectors(self, encoded: Encoded, num_items: int | None = None) -> ItemVectors:
        """Vectors [I, D] and bias [I], equally many on each device; -inf behind num_items, where that is given."""
        model = self.model
        items = model.shared_item_vectors(encoded) if isinstance(model, SharedScorer) else model.item_vectors(encoded)
        bias = rows_apart(items.bias, self.mesh)
        real = jnp.arange(len(bias)) < (len(items.bias) if num_items is None else num_items)
        return ItemVectors(rows_apart(items.vectors, self.mesh), jnp.where(real, bias, -jnp.inf))

    def floats_per_user(self, params: Params, ctx: Context, num_items: int) -> int:
        """About how many float32 numbers the ranking of one user holds at a time, on all devices together."""

        def vectors(params: Params, ctx: Context) -> jax.Array:
            return self.user_vectors(self.encode(params, ctx), ctx, jnp.zeros((1,), jnp.int32), jnp.ones((1,), bool))

        return (jax.eval_shape(vectors, params, ctx).shape[1] + 2) * num_items


def shares_of(model: Scorer, params: Params, ctx: Context, mesh: Mesh, budget_mb: int) -> SharesOf | None:
    """The model where devices share its items to rank; None where each ranks its own users among all items.

    That is a vector model whose parameters lie on the mesh that ranks, and whose tables would take more than the budget
    on each device. Tables that fit are put there: no message is cheaper than none, and a user's list is made once.
    """
    if isinstance(model, DirectScorer) or mesh.size == 1 or ctx.mesh != mesh:
        return None
    return None if tables_fit(model, params, ctx, budget_mb) else SharesOf(model, mesh)


def tables_fit(model: VectorScorer, params: Params, ctx: Context, budget_mb: int) -> bool:
    """Whether what an evaluation holds of floats is at most so large, item vectors beside the tables they come from."""
    encoded = jax.eval_shape(functools.partial(encode, model), params, ctx)
    floats = [leaf for leaf in jax.tree.leaves(encoded) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in floats) <= budget_mb << 20
