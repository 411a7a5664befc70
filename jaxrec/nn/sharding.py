"""How the rows of a batch are shared out among devices inside a compiled step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Axes = tuple[str, ...]


def over_rows(function: Callable[..., Any], mesh: Mesh | None, num_rows: int, row_axes: Any) -> Any:
    """The function with each device doing its own share of a batch's rows: what mixes features runs in this layout.

    row_axes: for each argument the axis that holds the num_rows rows, None for one that every device has whole (a
    tree of parameters, say), a tuple for a tuple. function(*arguments, axes=...) gets the mesh axes that its rows are
    shared over, () where it has them all; it must return the same on every device. Where the rows do not divide by
    the devices, every device has them all.
    """
    whole = PartitionSpec()
    if mesh is None:
        return lambda *arguments: function(*arguments, axes=())
    if num_rows % mesh.size:

        def on_all(*arguments: Any) -> Any:
            return function(*everywhere(arguments, mesh), axes=())

        return on_all
    axes = tuple(mesh.axis_names)
    specs = jax.tree.map(
        lambda axis: whole if axis is None else PartitionSpec(*[None] * axis, axes),
        tuple(row_axes),
        is_leaf=lambda axis: axis is None,
    )

    def share(*arguments: Any) -> Any:
        return function(*arguments, axes=axes)

    return jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=whole)


def first_row(axes: Axes, num_rows: int) -> int | jax.Array:
    """The place in the batch of this device's first row, where each device has num_rows."""
    return jax.lax.axis_index(axes) * num_rows if axes else 0


def all_rows(rows: jax.Array, axes: Axes, axis: int) -> jax.Array:
    """The rows of all devices, in the order of the batch."""
    return jax.lax.all_gather(rows, axes, axis=axis, tiled=True) if axes else rows


def sum_over_rows(values: Any, axes: Axes) -> Any:
    """The sum of every device's values, leaf by leaf."""
    return jax.lax.psum(values, axes) if axes else values


def by_batch(rows: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Rows [N, ...] of a batch over the axis "data", where they divide by it; else wherever they are."""
    if mesh is None or len(rows) % mesh.shape["data"]:
        return rows
    return jax.lax.with_sharding_constraint(rows, NamedSharding(mesh, PartitionSpec("data")))


def feature_mesh(mesh: Mesh | None, dim: int) -> Mesh | None:
    """The same devices, all of them along "model", where they divide so many features; else the mesh as it is.

    For tables by feature over all devices (jaxrec.nn.partition_rules.ALL_FEATURES) beside a batch over "data".
    """
    if mesh is None or dim % mesh.size:
        return mesh
    return Mesh(mesh.devices.reshape(1, -1), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def everywhere(tree: Any, mesh: Mesh | None) -> Any:
    """The tree, whole on every device."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def by_row(rows: jax.Array, mesh: Mesh | None, axis: int = 0) -> jax.Array:
    """Rows of a batch, along one axis, over all devices of the mesh, where they divide; else wherever they are."""
    if mesh is None or rows.shape[axis] % mesh.size:
        return rows
    spec = PartitionSpec(*[None] * axis, tuple(mesh.axis_names))
    return jax.lax.with_sharding_constraint(rows, NamedSharding(mesh, spec))


def rows_apart(rows: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Rows [N, ...] over all devices of the mesh, with zeros behind the last, as few as make the shares equal."""
    if mesh is None:
        return rows
    return by_row(jnp.pad(rows, [(0, -len(rows) % mesh.size), *[(0, 0)] * (rows.ndim - 1)]), mesh)


def by_feature(rows: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Rows [..., D] with their features over the axis "model", as the table that they are taken from has them."""
    if mesh is None:
        return rows
    spec = PartitionSpec(*[None] * (rows.ndim - 1), "model")
    return jax.lax.with_sharding_constraint(rows, NamedSharding(mesh, spec))
