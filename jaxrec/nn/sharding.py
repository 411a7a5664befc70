"""How an array inside a compiled step is laid out over the mesh."""

from __future__ import annotations

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def split_rows(values: jax.Array, mesh: Mesh | None, axis: int = 0) -> jax.Array:
    """The same values with the rows of one axis shared out over all devices, features whole on each.

    What mixes features (prototypes, cosines) runs on this layout. Where the rows do not divide by the devices every
    device keeps them all; without a mesh nothing changes.
    """
    if mesh is None:
        return values
    spec: list = [None] * values.ndim
    if values.shape[axis] % mesh.size == 0:
        spec[axis] = tuple(mesh.axis_names)
    return jax.lax.with_sharding_constraint(values, NamedSharding(mesh, PartitionSpec(*spec)))
