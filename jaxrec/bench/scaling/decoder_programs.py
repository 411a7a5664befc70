"""A tuning step and a scoring pass of the decoder, compiled from shapes alone."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import param_shapes
from jaxrec.llm.lora import LoRAConfig, init_adapters
from jaxrec.llm.packed_examples import PackedBatch
from jaxrec.llm.score import Asked, score_with_prompt
from jaxrec.llm.sharding import shardings
from jaxrec.llm.tuning import Recipe, TuningState, tuning_step


@dataclasses.dataclass(frozen=True)
class TuningSizes:
    """A packed batch: micro-batches, rows of each on all devices, tokens and answer tokens of a row."""

    micro_batches: int
    rows: int
    width: int
    slots: int


@dataclasses.dataclass(frozen=True)
class RankingSizes:
    """Prompts of a call, tokens of each, tokens of its tree of candidates, and log-probabilities asked for."""

    prompts: int
    width: int
    nodes: int
    asked: int


def compiled_tuning(
    config: DecoderConfig,
    lora: LoRAConfig,
    sizes: TuningSizes,
    mesh: Mesh | None,
    remat: bool = False,
    options: dict[str, Any] | None = None,
) -> Any:
    """The compiled program of one step of adapters under Adam."""
    recipe = Recipe(config, optax.adam(1e-4), lora, remat=remat, mesh=mesh)
    trained = {"adapters": jax.eval_shape(functools.partial(init_adapters, lora, config), jax.random.key(0))}
    step: Any = jax.ShapeDtypeStruct((), np.int32)
    state = TuningState(trained, jax.eval_shape(recipe.optimizer.init, trained), step)
    rows = (sizes.micro_batches, sizes.rows)
    tokens = jax.ShapeDtypeStruct((*rows, sizes.width), np.int32)
    places, real = (jax.ShapeDtypeStruct((*rows, sizes.slots), dtype) for dtype in (np.int32, bool))
    batch = PackedBatch(tokens, tokens, tokens, places, real)
    frozen = placed(param_shapes(config), config, mesh)
    lowered = tuning_step.lower(frozen, placed(state, config, mesh), _by_rows(batch, mesh, 1), recipe=recipe)
    return lowered.compile(options)


def compiled_ranking(
    config: DecoderConfig, sizes: RankingSizes, mesh: Mesh | None, options: dict[str, Any] | None = None
) -> Any:
    """The compiled program that scores all candidates of some prompts, prompt and tree in one pass."""
    shape = jax.ShapeDtypeStruct
    rows, nodes = sizes.prompts, sizes.nodes
    asked = Asked(
        shape((rows, nodes), np.int32),
        shape((rows, nodes), np.int32),
        shape((rows, nodes, nodes), bool),
        shape((rows, sizes.asked), np.int32),
        shape((rows, sizes.asked), np.int32),
    )
    given = shape((rows, sizes.width), np.int32), shape((rows,), np.int32), asked
    lowered = score_with_prompt.lower(
        placed(param_shapes(config), config, mesh), config, *_by_rows(given, mesh, 0), None, mesh, keep=False
    )
    return lowered.compile(options)


def placed(tree: Any, config: DecoderConfig, mesh: Mesh | None) -> Any:
    """A tree of shapes with the places that its arrays have on the mesh."""
    if mesh is None:
        return tree
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        tree,
        shardings(tree, config, mesh),
    )


def _by_rows(tree: Any, mesh: Mesh | None, axis: int) -> Any:
    if mesh is None:
        return tree
    place = NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)
