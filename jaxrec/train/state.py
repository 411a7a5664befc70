"""What changes while a model trains, as one pytree."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from jaxrec.models.base import Context, Model
from jaxrec.train.mesh import PartitionRules, shardings


@flax.struct.dataclass
class TrainState:
    """step: int32 scalar, steps done. params, opt_state, extra: nested trees of arrays.

    With the seed, which the configuration holds, this is all that the next step depends on: batches and random
    numbers follow from (seed, step).
    """

    step: jax.Array
    params: Any
    opt_state: Any
    extra: Any


def first_state(
    model: Model, optimizer: optax.GradientTransformation, ctx: Context, seed: int | jax.Array
) -> TrainState:
    """State before the first step."""
    params, extra = model.init(jax.random.key(seed), ctx)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), extra)


def abstract_state(
    model: Model,
    optimizer: optax.GradientTransformation,
    ctx: Context,
    seed: int,
    rules: PartitionRules,
    mesh: jax.sharding.Mesh | None,
) -> TrainState:
    """Shapes, dtypes and shardings of the state on a mesh, as a tree of jax.ShapeDtypeStruct; computes nothing."""
    shapes = jax.eval_shape(lambda: first_state(model, optimizer, ctx, seed))
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        shardings(shapes, rules, mesh),
    )
