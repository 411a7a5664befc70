"""Training steps compiled from shapes alone: no array is made, so that any size may be asked for."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxrec.models.base import Context
from jaxrec.models.registry import build_model
from jaxrec.nn.attention import stream_blocks
from jaxrec.nn.graph import Graph
from jaxrec.train.config import OptimizerConfig
from jaxrec.train.mesh import shardings
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.sequence_input import over_devices
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import make_update


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What data and batches measure. edges: distinct interactions. batch_size: pairs, targets, or rows of a stream.

    targets: of a row of a stream. text_width, and feature_widths: of the modalities image and text.
    behaviors, fields: of histories, and of items and users each.
    """

    users: int
    items: int
    edges: int
    batch_size: int
    targets: int = 64
    text_width: int = 48
    feature_widths: tuple[int, ...] = (24, 40)
    behaviors: int = 2
    fields: int = 2


def abstract_context(sizes: Sizes, config: Any, mesh: Mesh | None) -> Context:
    """The shapes of what a model reads and no step changes, whole on every device."""
    shape = _Shapes(mesh)
    users, items = sizes.users, sizes.items
    columns: dict[str, Any] = {"item_counts": shape(np.int32, items)}
    if config.needs_graph:
        columns["graph"] = _graph(sizes, shape)
    if config.needs_text:
        columns["user_text"] = shape(np.float32, users, sizes.text_width)
        columns["item_text"] = shape(np.float32, items, sizes.text_width)
        columns |= {"user_text_mask": shape(bool, users), "item_text_mask": shape(bool, items)}
    if getattr(config, "needs_histories", False):
        columns["histories"] = (shape(np.int32, users, config.max_length),) * sizes.behaviors
    if getattr(config, "needs_features", False):
        widths = dict(zip(("image", "text"), sizes.feature_widths, strict=True))
        columns["item_features"] = {name: shape(np.float32, items, width) for name, width in widths.items()}
        columns["item_feature_masks"] = {name: shape(bool, items) for name in widths}
        columns["item_fields"] = {f"field{place}": shape(np.int32, items) for place in range(sizes.fields)}
    if getattr(config, "needs_profiles", False):
        columns["user_fields"] = {f"field{place}": shape(np.int32, users) for place in range(sizes.fields)}
        columns |= {"user_field_sizes": (5,) * sizes.fields, "user_numbers": {}, "user_number_masks": {}}
    return Context(mesh=mesh, **columns)


def abstract_training(config: Any, sizes: Sizes, mesh: Mesh | None) -> tuple[TrainState, dict[str, Any], Context]:
    """Shapes and places of the state under Adam, of one batch, and of the context."""
    ctx = abstract_context(sizes, config, mesh)
    model = build_model(config, sizes.users, sizes.items)
    shapes = jax.eval_shape(lambda ctx: first_state(model, _optimizer(), ctx, 0), ctx)
    places = shardings(shapes, config.partition_rules, mesh)
    state = jax.tree.map(_placed, shapes, places)
    return state, _batch(config, sizes, mesh), ctx


def _placed(leaf: Any, place: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)


def compiled_step(config: Any, sizes: Sizes, mesh: Mesh | None, options: dict[str, Any] | None = None) -> Any:
    """The compiled program of one step. options: of the compiler."""
    state, batch, ctx = abstract_training(config, sizes, mesh)
    update = make_update(build_model(config, sizes.users, sizes.items), _optimizer(), 0)

    def step(state: TrainState, batch: dict[str, Any], ctx: Context) -> Any:
        return update(state, over_devices(batch, ctx), ctx)

    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(places, None))
    return jitted.lower(state, batch, ctx).compile(options)


def _optimizer() -> Any:
    return make_optimizer(OptimizerConfig(learning_rate=1e-3), 100)


class _Shapes:
    """Shapes of arrays that every device of the mesh has whole."""

    def __init__(self, mesh: Mesh | None) -> None:
        self._place = SingleDeviceSharding(jax.devices()[0]) if mesh is None else NamedSharding(mesh, PartitionSpec())

    def __call__(self, dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._place)


def _graph(sizes: Sizes, shape: _Shapes) -> Graph:
    users, items, edges = sizes.users, sizes.items, sizes.edges
    return Graph(
        user_indptr=shape(np.int32, users + 1),
        user_items=shape(np.int32, edges),
        user_values=shape(np.float32, edges),
        item_indptr=shape(np.int32, items + 1),
        item_users=shape(np.int32, edges),
        item_values=shape(np.float32, edges),
        item_edges=shape(np.int32, edges),
        receiver_scale=shape(np.float32, users + items),
        sender_scale=shape(np.float32, users + items),
        transpose_scale=None,
        loop_values=None,
        user_chunks=None,
        item_chunks=None,
        num_users=users,
        num_items=items,
        backend="bcsr",
    )


def _batch(config: Any, sizes: Sizes, mesh: Mesh | None) -> dict[str, Any]:
    shape, size = _Shapes(mesh), sizes.batch_size
    kind = getattr(config, "input", "pairs")
    negatives = getattr(config, "num_negatives", 0)
    if kind == "stream":
        num_blocks, block = stream_blocks(sizes.targets, config.max_length)
        inputs = {name: shape(np.int32, size, num_blocks * block) for name in ("tokens", "segment_ids", "positions")}
        batch: dict[str, Any] = inputs | {
            "user_ids": shape(np.int32, size, num_blocks * block),
            "target_item_ids": shape(np.int32, size, sizes.targets),
            "mask": shape(bool, size, sizes.targets),
        }
        wide = (size, sizes.targets, negatives)
    else:
        names = ("user_ids", "target_item_ids") if kind == "targets" else ("user_ids", "item_ids", "negative_item_ids")
        batch = {name: shape(np.int32, size) for name in names} | {"mask": shape(bool, size)}
        if kind == "targets":
            batch["histories"] = (shape(np.int32, size, config.max_length),) * sizes.behaviors
        wide = (size, negatives)
    if negatives and kind != "pairs":
        batch["negative_item_ids"] = shape(np.int32, *wide)
    return batch


def device_bytes(tree: Any) -> int:
    """Bytes that each device holds of a tree of shapes with their places."""
    return sum(leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(tree))
