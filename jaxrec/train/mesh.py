"""Devices: the mesh, where parameters live on it, and the one place where several hosts are joined."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrec.errors import UserError
from jaxrec.train.config import DevicesConfig

PartitionRules = Sequence[tuple[str, PartitionSpec]]


def start_distributed() -> None:
    """Join the other hosts of a multi-host run, before any device is touched.

    One process is all that is supported so far, so there is nothing to join; this is the only place that may.
    """


def device_count(config: DevicesConfig) -> int:
    """Number of devices that a run uses: all visible ones unless told otherwise."""
    visible = len(jax.devices())
    count = visible if config.count is None else config.count
    if not 1 <= count <= visible:
        raise UserError(f"devices.count: found {count}, allowed are 1 to {visible} (the visible devices)")
    return count


def make_mesh(config: DevicesConfig, default_axis: str = "data") -> Mesh | None:
    """Mesh with the axes ("data", "model"), or None on a single device.

    default_axis: the axis that takes all devices unless devices.model is given ("model" for graph models, which
    shard the feature axis of their embeddings; "data" for the rest).
    """
    count = device_count(config)
    if count == 1:
        return None
    model = config.model if config.model is not None else (count if default_axis == "model" else 1)
    if model < 1 or count % model:
        raise UserError(f"devices.model: found {model}, allowed are the divisors of the {count} devices in use")
    devices = np.asarray(jax.devices()[:count]).reshape(count // model, model)
    return Mesh(devices, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def shardings(tree: Any, rules: PartitionRules, mesh: Mesh | None) -> Any:
    """A sharding for every leaf of a tree of arrays: the first rule whose regex is found in the leaf's path.

    A rule applies to leaves of its own rank only (an optimiser keeps scalars under the same path) and whose sizes the
    devices divide; whatever no rule names is replicated. Without a mesh everything lies on the first device.
    """
    if mesh is None:
        single = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return jax.tree.map(lambda _: single, tree)

    def place(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, spec in rules:
            if re.search(pattern, name) and np.ndim(leaf) == len(spec) and _divides(spec, np.shape(leaf), mesh):
                return NamedSharding(mesh, spec)
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(place, tree)


def _divides(spec: PartitionSpec, shape: tuple[int, ...], mesh: Mesh) -> bool:
    """Whether every size of a shape is a multiple of the devices that share it."""
    axes = [(axis,) if isinstance(axis, str) else axis or () for axis in spec]
    return all(size % math.prod(mesh.shape[a] for a in axis) == 0 for size, axis in zip(shape, axes, strict=True))


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """The tree on every device of the mesh."""
    return jax.device_put(tree, shardings(tree, (), mesh))


def describe_devices(mesh: Mesh | None) -> dict[str, Any]:
    """Kind, count and processes, for result.json."""
    devices = [jax.devices()[0]] if mesh is None else list(mesh.devices.flat)
    return {"kind": devices[0].device_kind, "count": len(devices), "processes": jax.process_count()}
