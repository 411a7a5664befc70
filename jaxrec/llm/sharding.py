"""Where the decoder's arrays live on a mesh: rows over the axis "data", heads and inner features over "model"."""

from __future__ import annotations

import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrec.errors import UserError
from jaxrec.llm.cache import Cache
from jaxrec.llm.config import DecoderConfig

# A layer is split once at its entry and summed once at its exit, in attention and MLP alike (Shoeybi et al., 2019).
# A rule speaks of the last axes of an array; the layer before them is never split.
PARTITION_RULES: tuple[tuple[str, PartitionSpec], ...] = (
    ("(^|/)embed/embedding$", PartitionSpec("model", None)),
    ("(query|key|value|gate|up)/(kernel|b)$", PartitionSpec(None, "model")),
    ("(query|key|value|gate|up)/scale$", PartitionSpec("model")),
    ("(attention/output|down)/(kernel|a)$", PartitionSpec("model", None)),
    ("(^|/)(?<!attention/)output/(kernel|b)$", PartitionSpec(None, "model")),
    ("(^|/)(?<!attention/)output/scale$", PartitionSpec("model")),
)
CACHE_SPEC = PartitionSpec(None, "data", None, "model", None)


def place(tree: Any, config: DecoderConfig, mesh: Mesh | None) -> Any:
    """Parameters, adapters or their state on the devices of the mesh, or on the first device.

    Whatever no rule names is everywhere. Raises: UserError where the heads or the inner features do not divide by the
    axis "model".
    """
    if mesh is None:
        return jax.device_put(tree, jax.devices()[0])
    return jax.device_put(tree, shardings(tree, config, mesh))


def constrain(tree: Any, config: DecoderConfig, mesh: Mesh | None) -> Any:
    """The same tree, in a compiled function, where `place` would put it."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, shardings(tree, config, mesh))


def shardings(tree: Any, config: DecoderConfig, mesh: Mesh) -> Any:
    """Where `place` puts each leaf of a tree of arrays or shapes. Raises: UserError as `place`."""
    count = mesh.shape["model"]
    for field in ("num_kv_heads", "intermediate_size", "vocab_size"):
        size = getattr(config, field)
        if size % count:
            raise UserError(f"devices.model: found {count}; a divisor of the decoder's {field}, {size}, is needed")

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, spec in PARTITION_RULES:
            if re.search(pattern, name):
                axes = [None] * (leaf.ndim - len(spec)) + list(spec)
                # Without a None at the end, as compiled functions give it back: another spec would compile anew.
                return NamedSharding(mesh, PartitionSpec(*axes[: len(axes) - (axes[-1] is None)]))
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(sharding, tree)


def constrain_cache(cache: Cache, mesh: Mesh | None) -> Cache:
    """The same cache, in a compiled function: each device holds its own rows and heads."""
    if mesh is None:
        return cache
    keys, values = jax.lax.with_sharding_constraint((cache.keys, cache.values), NamedSharding(mesh, CACHE_SPEC))
    return cache._replace(keys=keys, values=values)


def place_rows(tree: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Arrays with the batch on that axis, each device with its own rows; they must divide by the axis "data"."""
    if mesh is None:
        return jax.device_put(tree, jax.devices()[0])
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*[None] * axis, "data")))
