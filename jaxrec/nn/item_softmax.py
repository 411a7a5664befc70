"""The softmax over all items as a loss, without ever holding the scores of a whole large catalogue.

The scores of some rows for some items exist at a time. Where these are enough rows of a whole catalogue, rows are taken
in blocks and the gradient is computed on the way forward, in three products. Otherwise items are taken in chunks
(jaxrec.nn.item_chunks), four products, and a chunk's gradient is written in its place. The same functions run on every
device of a mesh, over its share of the items.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxrec.nn.item_chunks import LOWEST, score_gradients, score_sums
from jaxrec.nn.score_chunks import over_chunks, rows_at_once, scores_at_once
from jaxrec.nn.sharding import Axes, by_batch, sum_over_rows

_WHOLE, _BY_ITEMS, _BY_ROWS = "whole", "by items", "by rows"


def item_softmax_loss(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    bias: jax.Array | None = None,
    *,
    chunk: int | None = None,
    num_items: int | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Mean over the real rows of -log softmax(hidden @ table.T + bias)[target]; 0 where no row is real.

    hidden: [N, D]; table: [I, D] item vectors; targets: [N] int32 items; mask: [N] bool; bias: [I] or None. Sums are
    float32 whatever the inputs are. chunk: for how many items the scores of all N rows may exist at a time, by default
    as many as the device does well with. num_items: so many rows of the table are items, all of them by default; those
    behind (jaxrec.nn.partition_rules) are no candidates. On a mesh each device takes its share of the items, whether it
    holds the whole table or that share. Differentiable (backward, once) in hidden, table and bias.
    """
    hidden, targets = by_batch(jnp.where(mask[:, None], hidden, 0), mesh), jnp.where(mask, targets, 0)
    weights = mask.astype(jnp.float32) / jnp.maximum(mask.sum(), 1)
    num_items = len(table) if num_items is None else num_items
    if mesh is not None and (missing := -len(table) % mesh.size):
        table = jnp.pad(table, ((0, missing), (0, 0)))
    if num_items < len(table):
        bias = jnp.zeros(len(table), jnp.float32) if bias is None else bias.astype(jnp.float32)
        bias = jnp.pad(bias, (0, len(table) - len(bias)))
        bias = jnp.where(jnp.arange(len(table)) < num_items, bias, -jnp.inf)
    return _loss(hidden, table, bias, targets, weights, scores_at_once(len(hidden), chunk), mesh)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _loss(
    hidden: jax.Array,
    table: jax.Array,
    bias: jax.Array | None,
    targets: jax.Array,
    weights: jax.Array,
    most: int,
    mesh: Mesh | None,
) -> jax.Array:
    """Sum of the rows' losses by their weights [N] float32, which get no gradient; most: scores at a time."""
    arguments = hidden, table, bias, targets, weights
    return _on_shares(lambda share: share.loss(most)[0], mesh, _WHOLE)(*arguments)


def _forward(hidden: Any, table: Any, bias: Any, targets: Any, weights: Any, most: int, mesh: Mesh | None) -> Any:
    arguments = hidden, table, bias, targets, weights
    items = len(table) // (1 if mesh is None else mesh.size)
    if rows := rows_at_once(len(hidden), items, most):
        results = _WHOLE, (_BY_ROWS, _BY_ITEMS, _BY_ITEMS)
        loss, gradients = _on_shares(lambda share: share.loss_and_gradients(rows), mesh, results)(*arguments)
        return loss, (gradients, None)
    loss, log_partitions = _on_shares(lambda share: share.loss(most), mesh, (_WHOLE, _WHOLE))(*arguments)
    return loss, (None, (*arguments, log_partitions))


def _backward(most: int, mesh: Mesh | None, kept: Any, cotangent: jax.Array) -> Any:
    gradients, arguments = kept
    if gradients is None:
        results = _BY_ROWS, _BY_ITEMS, _BY_ITEMS
        gradients = _on_shares(lambda share, found: share.gradients(found, most), mesh, results)(*arguments)
    return *jax.tree.map(lambda gradient: gradient * cotangent.astype(gradient.dtype), gradients), None, None


_loss.defvjp(_forward, _backward)


def _on_shares(function: Callable[..., Any], mesh: Mesh | None, results: Any) -> Callable[..., Any]:
    """function(share, *whole) as a function of a share's arrays and of what every device has whole.

    results: how each lies; what is by rows comes from _Share.of_all_items, all else that is whole is equal everywhere.
    """
    if mesh is None:
        return lambda *arguments: function(_Share(*arguments[:5]), *arguments[5:])
    axes = tuple(mesh.axis_names)

    def run(*arguments: Any) -> Any:
        row_axis = None if len(arguments[0]) % mesh.shape["data"] else "data"
        specs = {_WHOLE: PartitionSpec(), _BY_ITEMS: PartitionSpec(axes), _BY_ROWS: PartitionSpec(row_axis)}
        return jax.shard_map(
            lambda *local: function(_Share(*local[:5], axes=axes, row_axis=row_axis), *local[5:]),
            mesh=mesh,
            in_specs=tuple(specs[_BY_ITEMS if place in (1, 2) else _WHOLE] for place in range(len(arguments))),
            out_specs=jax.tree.map(specs.__getitem__, results),
            check_vma=False,  # nothing is differentiated through it: the gradient is our own
        )(*arguments)

    return run


@dataclasses.dataclass(frozen=True)
class _Share:
    """All rows and one device's share of the items; axes: what items are shared over, row_axis: what the batch is."""

    hidden: jax.Array
    table: jax.Array
    bias: jax.Array | None
    targets: jax.Array
    weights: jax.Array
    axes: Axes = ()
    row_axis: str | None = None

    def of_all_items(self, by_rows: jax.Array) -> jax.Array:
        """Rows [N, D] summed over every device's items: this device's share of them, where the batch is shared."""
        if self.row_axis is None:
            return sum_over_rows(by_rows, self.axes)
        by_rows = jax.lax.psum_scatter(by_rows, self.row_axis, scatter_dimension=0, tiled=True)
        return sum_over_rows(by_rows, tuple(axis for axis in self.axes if axis != self.row_axis))

    def places(self) -> jax.Array:
        """[N] int32 place of each target in this share, outside of it where another device has it."""
        return self.targets - (jax.lax.axis_index(self.axes) * len(self.table) if self.axes else 0)

    def scores(self, rows: jax.Array, begin: Any, size: int) -> jax.Array:
        """[R, size] float32 scores of the items from `begin` on."""
        items = jax.lax.dynamic_slice_in_dim(self.table, begin, size)
        scores = jnp.einsum("nd,cd->nc", rows, items, preferred_element_type=jnp.float32)
        if self.bias is None:
            return scores
        return scores + jax.lax.dynamic_slice_in_dim(self.bias, begin, size).astype(jnp.float32)[None, :]

    def loss(self, most: int) -> tuple[jax.Array, jax.Array]:
        """The loss, and [N] log of the sum over all items of exp(score), by chunks of items."""
        level, total, own = score_sums(self.hidden, self.table, self.bias, self.places(), most)
        of_all = jax.lax.pmax(level, self.axes) if self.axes else level
        total, own = sum_over_rows((total * jnp.exp(level - of_all), own), self.axes)
        return _weighted(of_all, total, own, self.weights), jnp.log(total) + of_all

    def gradients(self, log_partitions: jax.Array, most: int) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """Gradients of hidden, table and bias."""
        by_hidden, by_table, by_bias = score_gradients(
            self.hidden, self.table, self.bias, self.places(), self.weights, log_partitions, most
        )
        by_hidden = self.of_all_items(by_hidden)
        return by_hidden.astype(self.hidden.dtype), by_table, _like(by_bias, self.bias)

    def loss_and_gradients(self, num_rows: int) -> Any:
        """The loss and the gradients of hidden, table and bias, by blocks of rows."""
        places = self.places()

        def add(carry: Any, begin: Any, count: int) -> Any:
            loss, by_hidden, by_table, by_bias = carry
            parts = (self.hidden, self.weights, places)
            rows, weights, here = (jax.lax.dynamic_slice_in_dim(part, begin, count) for part in parts)
            scores = self.scores(rows, 0, len(self.table))
            highest = jnp.maximum(scores.max(1), LOWEST)
            highest = jax.lax.pmax(highest, self.axes) if self.axes else highest
            powers = jnp.exp(scores - highest[:, None])
            total, own = sum_over_rows((powers.sum(1), _picked(scores, here)), self.axes)
            slopes = _slopes(powers, weights / total, here, weights)
            by_hidden = jax.lax.dynamic_update_slice_in_dim(by_hidden, _by_rows(slopes, self.table), begin, 0)
            by_bias = None if by_bias is None else by_bias + slopes.sum(0)
            return (
                loss + _weighted(highest, total, own, weights),
                by_hidden,
                by_table + _by_items(slopes, rows),
                by_bias,
            )

        by_table = jnp.zeros(self.table.shape[::-1], jnp.float32)
        start = jnp.zeros(()), jnp.zeros(self.hidden.shape, jnp.float32), by_table, _zeros(self.bias)
        loss, by_hidden, by_table, by_bias = over_chunks(add, start, len(self.hidden), num_rows)
        by_hidden = self.of_all_items(by_hidden).astype(self.hidden.dtype)
        return loss, (by_hidden, by_table.T.astype(self.table.dtype), _like(by_bias, self.bias))


def _picked(scores: jax.Array, places: jax.Array) -> jax.Array:
    """[R] score at each row's place, 0 where that is not among the scores [R, C]."""
    here = (places >= 0) & (places < scores.shape[1])
    return jnp.where(here, jnp.take_along_axis(scores, jnp.where(here, places, 0)[:, None], 1)[:, 0], 0.0)


def _weighted(highest: jax.Array, total: jax.Array, own: jax.Array, weights: jax.Array) -> jax.Array:
    """The weighted sum of -log(exp(own) / (exp(highest) * total)); a row without weight adds nothing."""
    return jnp.where(weights > 0, (jnp.log(total) + (highest - own)) * weights, 0.0).sum()


def _slopes(powers: jax.Array, factors: jax.Array, places: jax.Array, weights: jax.Array) -> jax.Array:
    """Gradient of the scores [R, C]: factors * powers, less the weight at the target."""
    hit = jnp.arange(powers.shape[1], dtype=places.dtype)[None, :] == places[:, None]
    return powers * factors[:, None] - jnp.where(hit, weights[:, None], 0.0)


def _by_rows(slopes: jax.Array, items: jax.Array) -> jax.Array:
    return jnp.einsum("nc,cd->nd", slopes.astype(items.dtype), items, preferred_element_type=jnp.float32)


def _by_items(slopes: jax.Array, rows: jax.Array) -> jax.Array:
    # [D, C]: the product that has the scores on its right is twice as fast on a CPU as the one that transposes them.
    return jnp.einsum("nd,nc->dc", rows, slopes.astype(rows.dtype), preferred_element_type=jnp.float32)


def _zeros(array: jax.Array | None) -> jax.Array | None:
    return None if array is None else jnp.zeros(array.shape, jnp.float32)


def _like(gradient: jax.Array | None, array: jax.Array | None) -> jax.Array | None:
    return gradient if gradient is None or array is None else gradient.astype(array.dtype)
