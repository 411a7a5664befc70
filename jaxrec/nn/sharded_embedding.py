"""Tables of rows that are shared out over the devices of a mesh: looked up, and their gradient, without the table.

Each device looks in its own rows for all ids, and the shares are summed: every row is of one device, so that the sum is
the row itself, to the last bit. What devices tell each other is the rows that were asked for, whatever the size of the
table; an exchange by owner would tell each row once instead of adding zeros to it, but an id that everyone asks for has
one owner, so that its messages need room for the worst case, which is more. The gradient takes the same way back: each
device hears of all rows and adds up those that it owns. So neither a table nor its gradient nor an optimiser's moments
need fit on one device.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec


def table_rows(table: jax.Array, ids: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Rows [..., D] of a table [I, D] (or numbers of [I]) at ids [...] int32, which must be in it; all on every device.

    The result is told among the devices once. Where they do not divide I, the table is not shared (jaxrec.train.mesh):
    it is read as it is.
    """
    return _rows(table, ids, mesh, None)


def batch_rows(table: jax.Array, ids: jax.Array, mesh: Mesh | None) -> jax.Array:
    """The same rows where ids [B, ...] are of a batch: each device gets those of its share, over the axis "data".

    What it puts out is less than with `table_rows` by as many times as that axis has devices. As `table_rows` where
    they do not divide B.
    """
    if mesh is None or ids.ndim == 0 or ids.shape[0] % mesh.shape["data"]:
        return _rows(table, ids, mesh, None)
    return _rows(table, ids, mesh, "data")


def _rows(table: jax.Array, ids: jax.Array, mesh: Mesh | None, batch_axis: str | None) -> jax.Array:
    if mesh is None or mesh.size == 1 or table.shape[0] % mesh.size:
        return table[ids]
    axes = tuple(mesh.axis_names)
    num_rows = table.shape[0] // mesh.size

    def own_rows(share: jax.Array, ids: jax.Array) -> jax.Array:
        local = ids - jax.lax.axis_index(axes) * num_rows
        # A place past the end reads zeros, and its gradient goes nowhere: no row collects those of other devices.
        local = jnp.where((local >= 0) & (local < num_rows), local, num_rows)
        rows = share.at[local].get(mode="fill", fill_value=0)
        others = axes
        if batch_axis is not None:
            rows = jax.lax.psum_scatter(rows, batch_axis, scatter_dimension=0, tiled=True)
            others = tuple(axis for axis in axes if axis != batch_axis)
        return jax.lax.psum(rows, others)

    specs = PartitionSpec(axes), PartitionSpec()
    return jax.shard_map(own_rows, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(batch_axis))(table, ids)
