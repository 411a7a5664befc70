"""Devices: the mesh, and where parameters live on it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrec.distributed import num_processes, place
from jaxrec.errors import UserError
from jaxrec.train.config import DevicesConfig

PartitionRules = Sequence[tuple[str, PartitionSpec]]


def device_count(config: DevicesConfig) -> int:
    """Number of devices that a run uses: all visible ones, of all its processes, unless told otherwise."""
    visible = sum(len(devices) for devices in _visible())
    count = visible if config.count is None else config.count
    if not 1 <= count <= visible:
        raise UserError(f"devices.count: found {count}, allowed are 1 to {visible} (the visible devices)")
    processes = num_processes()
    if count > 1 and count % processes:
        raise UserError(f"devices.count: found {count}, allowed are multiples of the {processes} processes")
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
    devices = np.asarray(_side_by_side(count)).reshape(count // model, model)
    return Mesh(devices, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def _visible() -> list[list[Any]]:
    """The devices of every process that works: of all, or of this one where it works alone (first_alone)."""
    if num_processes() == 1:
        return [jax.local_devices()]
    return [jax.local_devices(process) for process in range(num_processes())]


def _side_by_side(count: int) -> list[Any]:
    """So many devices, as many of each process, those of one side by side."""
    theirs = _visible()
    each = count // len(theirs)
    if min(len(devices) for devices in theirs) < each:
        raise UserError(f"devices: the processes have {[len(devices) for devices in theirs]}, allowed: {each} in each")
    return [device for devices in theirs for device in devices[:each]]


def require_all_devices(mesh: Mesh | None) -> None:
    """Raise UserError where a run of several processes would use the devices of this one alone."""
    if mesh is None and num_processes() > 1:
        raise UserError(f"devices.count: found 1, allowed are multiples of the {num_processes()} processes")


def shardings(tree: Any, rules: PartitionRules, mesh: Mesh | None) -> Any:
    """A sharding for every leaf of a tree of arrays: the first rule whose regex is found in the leaf's path.

    A rule applies to leaves of its own rank only (an optimiser keeps scalars under the same path) and whose sizes the
    devices divide; whatever no rule names is replicated. Without a mesh everything lies on the first device.
    """
    if mesh is None:
        single = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        return jax.tree.map(lambda _: single, tree)

    def sharding_of(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, spec in rules:
            if re.search(pattern, name) and np.ndim(leaf) == len(spec) and _divides(spec, np.shape(leaf), mesh):
                return NamedSharding(mesh, spec)
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(sharding_of, tree)


def _divides(spec: PartitionSpec, shape: tuple[int, ...], mesh: Mesh) -> bool:
    """Whether every size of a shape is a multiple of the devices that share it."""
    axes = [(axis,) if isinstance(axis, str) else axis or () for axis in spec]
    return all(size % math.prod(mesh.shape[a] for a in axis) == 0 for size, axis in zip(shape, axes, strict=True))


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """The tree on every device of the mesh."""
    return place(tree, shardings(tree, (), mesh))


def describe_devices(mesh: Mesh | None) -> dict[str, Any]:
    """Kind, count and processes, for result.json."""
    devices = [jax.local_devices()[0]] if mesh is None else list(mesh.devices.flat)
    return {"kind": devices[0].device_kind, "count": len(devices), "processes": num_processes()}
