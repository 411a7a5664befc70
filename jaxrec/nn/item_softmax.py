"""The softmax over all items as a loss, without ever holding the scores of a whole large catalogue.

At most N x chunk scores exist at once. Where that is enough for some rows of the whole catalogue, rows are taken in
blocks and the gradient is computed on the way forward (three products). Otherwise the catalogue is taken in chunks: a
running log-sum-exp forward, and backward each chunk's scores once more (four products); the gradient of a chunk's rows
is written in its place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxrec.nn.sharding import Axes, sum_over_rows

LOWEST = -1e30
MIN_ROWS = 128
"""Fewer rows at a time make the products too thin for the gradient on the way forward."""


def item_softmax_loss(
    hidden: jax.Array,
    table: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    bias: jax.Array | None = None,
    *,
    chunk: int = 8192,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Mean over the real rows of -log softmax(hidden @ table.T + bias)[target]; 0 where no row is real.

    hidden: [N, D]; table: [I, D] item vectors; targets: [N] int32 items; mask: [N] bool; bias: [I] or None. Sums are
    float32 whatever the inputs are. chunk: items whose scores for all N rows may exist at once. On a mesh each device
    takes its share of the items, whether it has the whole table or only its share. Differentiable (once) in hidden,
    table and bias.
    """
    hidden, targets = jnp.where(mask[:, None], hidden, 0), jnp.where(mask, targets, 0)
    weights = mask.astype(jnp.float32) / jnp.maximum(mask.sum(), 1)
    num_items = len(table)
    if mesh is not None and (missing := -num_items % mesh.size):
        # An item that scores -inf is none: no row sees it and it gets no gradient.
        bias = jnp.zeros(num_items, jnp.float32) if bias is None else bias.astype(jnp.float32)
        bias = jnp.pad(bias, (0, missing), constant_values=-jnp.inf)
        table = jnp.pad(table, ((0, missing), (0, 0)))
    return _loss(hidden, table, bias, targets, weights, chunk, mesh)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _loss(
    hidden: jax.Array,
    table: jax.Array,
    bias: jax.Array | None,
    targets: jax.Array,
    weights: jax.Array,
    chunk: int,
    mesh: Mesh | None,
) -> jax.Array:
    """Weighted sum of the rows' losses; weights: [N] float32, which get no gradient."""

    def value(axes: Axes, *arguments: Any) -> jax.Array:
        share = _Share(*arguments, axes=axes)
        return share.loss(share.log_partitions(chunk))

    return _shared(value, mesh, 1, 0)(hidden, table, bias, targets, weights)


def _forward(hidden: Any, table: Any, bias: Any, targets: Any, weights: Any, chunk: int, mesh: Mesh | None) -> Any:
    arguments = hidden, table, bias, targets, weights
    rows = _rows_at_once(len(hidden), len(table) // (1 if mesh is None else mesh.size), chunk)
    if rows:

        def with_gradients(axes: Axes, *arguments: Any) -> Any:
            return _Share(*arguments, axes=axes).loss_and_gradients(rows)

        loss, gradients = _shared(with_gradients, mesh, 2, 1)(*arguments)
        return loss, (gradients, None)

    def partitions(axes: Axes, *arguments: Any) -> Any:
        share = _Share(*arguments, axes=axes)
        found = share.log_partitions(chunk)
        return share.loss(found), found

    loss, found = _shared(partitions, mesh, 2, 0)(*arguments)
    return loss, (None, (arguments, found))


def _backward(chunk: int, mesh: Mesh | None, kept: Any, cotangent: jax.Array) -> Any:
    gradients, again = kept
    if gradients is None:

        def recompute(axes: Axes, found: jax.Array, *arguments: Any) -> Any:
            return None, _Share(*arguments, axes=axes).gradients(found, chunk)

        arguments, found = again
        _, gradients = _shared(recompute, mesh, 2, 1, extra=1)(found, *arguments)
    scaled = jax.tree.map(lambda leaf: leaf * cotangent.astype(leaf.dtype), gradients)
    return *scaled, None, None


_loss.defvjp(_forward, _backward)


def _rows_at_once(num_rows: int, num_items: int, chunk: int) -> int:
    """Rows whose scores of all items may exist at once, 0 where they are too few."""
    rows = min(num_rows, num_rows * chunk // num_items)
    return rows if rows >= min(num_rows, MIN_ROWS) else 0


def _shared(function: Callable[..., Any], mesh: Mesh | None, outputs: int, gradients: int, extra: int = 0) -> Any:
    """The function with each device of the mesh on its share of the items."""
    if mesh is None:
        return functools.partial(function, ())
    axes = tuple(mesh.axis_names)
    whole, items = PartitionSpec(), PartitionSpec(axes)
    arguments = (whole, items, items, whole, whole)
    by_gradient = (whole, items, items)
    outs = whole if outputs == 1 else (whole, by_gradient if gradients else whole)
    specs = (whole,) * extra + arguments
    return jax.shard_map(functools.partial(function, axes), mesh=mesh, in_specs=specs, out_specs=outs, check_vma=False)


@dataclasses.dataclass(frozen=True)
class _Share:
    """One device's share of the items and all rows; axes: the mesh axes that the items are shared over."""

    hidden: jax.Array
    table: jax.Array
    bias: jax.Array | None
    targets: jax.Array
    weights: jax.Array
    axes: Axes

    @property
    def local_targets(self) -> jax.Array:
        """The targets as places in this share; outside of it where another device has them."""
        first = jax.lax.axis_index(self.axes) * len(self.table) if self.axes else 0
        return self.targets - first

    def scores(self, rows: jax.Array, start: Any, size: int) -> jax.Array:
        """[R, size] float32 scores of the items from start on."""
        items = jax.lax.dynamic_slice_in_dim(self.table, start, size)
        found = jnp.einsum("nd,cd->nc", rows, items, preferred_element_type=jnp.float32)
        if self.bias is None:
            return found
        return found + jax.lax.dynamic_slice_in_dim(self.bias, start, size).astype(jnp.float32)[None, :]

    def target_scores(self) -> jax.Array:
        """[N] float32 score of each row's target."""
        local = self.local_targets
        here = (local >= 0) & (local < len(self.table))
        at = jnp.where(here, local, 0)
        found = jnp.einsum("nd,nd->n", self.hidden, self.table[at], preferred_element_type=jnp.float32)
        if self.bias is not None:
            found += self.bias[at].astype(jnp.float32)
        return sum_over_rows(jnp.where(here, found, 0.0), self.axes)

    def loss(self, log_partitions: jax.Array) -> jax.Array:
        """The weighted sum of -log softmax; a row without weight adds nothing."""
        losses = log_partitions - self.target_scores()
        return jnp.where(self.weights > 0, losses * self.weights, 0.0).sum()

    def log_partitions(self, chunk: int) -> jax.Array:
        """[N] log of the sum over all items of exp(score), chunk by chunk with a running maximum."""
        start = jnp.full(len(self.hidden), LOWEST), jnp.zeros(len(self.hidden))

        def add(carry: Any, begin: Any, size: int) -> Any:
            highest, total = carry
            scores = self.scores(self.hidden, begin, size)
            new = jnp.maximum(highest, scores.max(1))
            return new, total * jnp.exp(highest - new) + jnp.exp(scores - new[:, None]).sum(1)

        highest, total = _over_chunks(add, start, len(self.table), chunk)
        return _joined(highest, total, self.axes)

    def gradients(self, log_partitions: jax.Array, chunk: int) -> Any:
        """Gradients of hidden, table and bias."""
        targets = self.local_targets
        start = (
            jnp.zeros(self.hidden.shape, jnp.float32),
            jnp.zeros_like(self.table),
            None if self.bias is None else jnp.zeros_like(self.bias),
        )

        def add(carry: Any, begin: Any, size: int) -> Any:
            by_hidden, by_table, by_bias = carry
            items = jax.lax.dynamic_slice_in_dim(self.table, begin, size)
            slopes = jnp.exp(self.scores(self.hidden, begin, size) - log_partitions[:, None])
            slopes = _slopes(slopes * self.weights[:, None], targets - begin, self.weights)
            by_items = _by_items(slopes, self.hidden).astype(by_table.dtype)
            by_table = jax.lax.dynamic_update_slice_in_dim(by_table, by_items, begin, 0)
            if by_bias is not None:
                by_bias = jax.lax.dynamic_update_slice_in_dim(by_bias, slopes.sum(0).astype(by_bias.dtype), begin, 0)
            return by_hidden + _by_rows(slopes, items), by_table, by_bias

        by_hidden, by_table, by_bias = _over_chunks(add, start, len(self.table), chunk)
        return sum_over_rows(by_hidden, self.axes).astype(self.hidden.dtype), by_table, by_bias

    def loss_and_gradients(self, num_rows: int) -> Any:
        """The loss, and the gradients of hidden, table and bias, by blocks of rows."""
        targets, target_scores, size = self.local_targets, self.target_scores(), len(self.table)
        start = (
            jnp.zeros(()),
            jnp.zeros(self.hidden.shape, jnp.float32),
            jnp.zeros(self.table.shape, jnp.float32),
            None if self.bias is None else jnp.zeros(self.bias.shape),
        )

        def add(carry: Any, begin: Any, count: int) -> Any:
            loss, by_hidden, by_table, by_bias = carry
            rows, weights, places, own = (
                jax.lax.dynamic_slice_in_dim(values, begin, count)
                for values in (self.hidden, self.weights, targets, target_scores)
            )
            scores = self.scores(rows, 0, size)
            highest = jnp.maximum(scores.max(1), LOWEST)
            if self.axes:
                highest = jax.lax.pmax(highest, self.axes)
            powers = jnp.exp(scores - highest[:, None])
            total = sum_over_rows(powers.sum(1), self.axes)
            slopes = _slopes(powers * (weights / total)[:, None], places, weights)
            losses = jnp.where(weights > 0, (jnp.log(total) + highest - own) * weights, 0.0)
            by_hidden = jax.lax.dynamic_update_slice_in_dim(by_hidden, _by_rows(slopes, self.table), begin, 0)
            by_bias = None if by_bias is None else by_bias + slopes.sum(0)
            return loss + losses.sum(), by_hidden, by_table + _by_items(slopes, rows), by_bias

        loss, by_hidden, by_table, by_bias = _over_chunks(add, start, len(self.hidden), num_rows)
        by_hidden = sum_over_rows(by_hidden, self.axes).astype(self.hidden.dtype)
        by_bias = None if self.bias is None else by_bias.astype(self.bias.dtype)
        return loss, (by_hidden, by_table.astype(self.table.dtype), by_bias)


def _over_chunks(add: Callable[..., Any], start: Any, length: int, chunk: int) -> Any:
    """add(carry, begin, size) over even chunks of 0..length, and once more for what is left over."""
    size = -(-length // -(-length // min(chunk, length)))
    whole = length // size
    carry = jax.lax.fori_loop(0, whole, lambda k, carry: add(carry, k * size, size), start) if whole > 1 else start
    if whole == 1:
        carry = add(carry, 0, size)
    return add(carry, whole * size, length % size) if length % size else carry


def _slopes(probabilities: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    """Gradient of the scores [R, C]: the weighted probabilities less the weight at the target."""
    hit = jnp.arange(probabilities.shape[1], dtype=targets.dtype)[None, :] == targets[:, None]
    return probabilities - jnp.where(hit, weights[:, None], 0.0)


def _by_rows(slopes: jax.Array, items: jax.Array) -> jax.Array:
    return jnp.einsum("nc,cd->nd", slopes.astype(items.dtype), items, preferred_element_type=jnp.float32)


def _by_items(slopes: jax.Array, rows: jax.Array) -> jax.Array:
    return jnp.einsum("nc,nd->cd", slopes.astype(rows.dtype), rows, preferred_element_type=jnp.float32)


def _joined(highest: jax.Array, total: jax.Array, axes: Axes) -> jax.Array:
    """Log-sum-exp of all shares from each one's maximum and sum."""
    if not axes:
        return jnp.log(total) + highest
    of_all = jax.lax.pmax(highest, axes)
    return jnp.log(jax.lax.psum(total * jnp.exp(highest - of_all), axes)) + of_all
