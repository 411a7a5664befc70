"""Tables of free vectors, one a node."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec


class EmbeddingTable(nn.Module):
    """A table [num_rows, dim] float32, drawn from N(0, init_std^2); calling it gives the whole table."""

    num_rows: int
    dim: int
    init_std: float

    @nn.compact
    def __call__(self) -> jax.Array:
        """The table."""
        return self.param("embedding", nn.initializers.normal(self.init_std), (self.num_rows, self.dim))


def table_rows(table: jax.Array, ids: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Rows [..., D] of a table [I, D] at ids [...] int32, which must be in it.

    On a mesh whose devices divide I, each device looks in its own share of the rows, and the shares are summed; so does
    the gradient stay where its rows are. Otherwise the whole table is read.
    """
    if mesh is None or mesh.size == 1 or table.shape[0] % mesh.size:
        return table[ids]
    axes = tuple(mesh.axis_names)

    def own_rows(share: jax.Array, ids: jax.Array) -> jax.Array:
        local = ids - jax.lax.axis_index(axes) * share.shape[0]
        here = (local >= 0) & (local < share.shape[0])
        rows = jnp.where(here[..., None], share[jnp.where(here, local, 0)], 0)
        return jax.lax.psum(rows, axes)

    specs = PartitionSpec(axes, None), PartitionSpec()
    return jax.shard_map(own_rows, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())(table, ids)
