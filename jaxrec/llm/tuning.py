"""A training step on packed examples, of adapters, of rows of new tokens, or of all weights."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params
from jaxrec.llm.layers import Adapters
from jaxrec.llm.lora import LoRAConfig, scaled
from jaxrec.llm.new_tokens import with_rows
from jaxrec.llm.packed_examples import PackedBatch, packed_loss
from jaxrec.llm.sharding import constrain, place

Trained = dict[str, Any]
"""What is trained, float32, any of: "adapters"; "rows" of new tokens (`new_tokens`); "weights", all parameters."""


class TuningState(NamedTuple):
    """What training changes."""

    trained: Trained
    optimizer: optax.OptState
    step: jax.Array


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that a step is compiled for, hashable. first_new: the first token whose row is trained, with "rows".

    lora: read with "adapters". mesh: where the arrays lie, None for the first device.
    """

    config: DecoderConfig
    optimizer: optax.GradientTransformation
    lora: LoRAConfig = LoRAConfig()
    first_new: int = 0
    remat: bool = False
    mesh: Mesh | None = None


def init_state(trained: Trained, recipe: Recipe) -> TuningState:
    """The state before the first step on its devices, in arrays of its own, as a step reuses the state it takes."""
    trained = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), trained)
    state = TuningState(trained, recipe.optimizer.init(trained), jnp.zeros((), jnp.int32))
    return place(state, recipe.config, recipe.mesh)


def assembled(
    frozen: Params, trained: Trained, recipe: Recipe, rng: jax.Array | None = None
) -> tuple[Params, Adapters | None]:
    """What `decoder.forward` takes; differentiable in what is trained. rng: for dropout in training."""
    params = frozen
    if "weights" in trained:
        params = jax.tree.map(lambda leaf: leaf.astype(recipe.config.dtype), trained["weights"])
    if "rows" in trained:
        params = with_rows(params, trained["rows"], recipe.first_new)
    return params, scaled(trained["adapters"], recipe.lora, rng) if "adapters" in trained else None


@functools.partial(jax.jit, static_argnames="recipe", donate_argnames="state")
def tuning_step(
    frozen: Params, state: TuningState, batch: PackedBatch, *, recipe: Recipe, seed: jax.Array | int = 0
) -> tuple[TuningState, dict[str, jax.Array]]:
    """One update by the mean over all answer tokens of the batch; the frozen parameters are only read.

    frozen: {} where "weights" are trained. How many micro-batches there are changes nothing but memory, and with
    dropout what is drawn: from seed, step, micro-batch, projection and layer.
    Returns the state and {"loss", "gradient_norm"}; the given state is used up.
    """
    count = jnp.maximum(jnp.asarray(batch.real).sum(), 1)
    rng = jax.random.fold_in(jax.random.key(seed), state.step)

    def loss(trained: Trained, micro: PackedBatch, index: jax.Array) -> jax.Array:
        params, adapters = assembled(frozen, trained, recipe, jax.random.fold_in(rng, index))
        return packed_loss(params, recipe.config, adapters, micro, remat=recipe.remat) / count

    total, gradient = summed_gradient(loss, state.trained, batch)
    updates, optimizer = recipe.optimizer.update(gradient, state.optimizer, state.trained)
    trained: Any = optax.apply_updates(state.trained, updates)
    found = {"loss": total, "gradient_norm": optax.tree.norm(gradient)}
    return constrain(TuningState(trained, optimizer, state.step + 1), recipe.config, recipe.mesh), found


@functools.partial(jax.jit, static_argnames="recipe")
def loss_sum(frozen: Params, trained: Trained, batch: PackedBatch, *, recipe: Recipe) -> tuple[jax.Array, jax.Array]:
    """The sum of -log p over a batch's answer tokens, without dropout, and how many they are."""
    params, adapters = assembled(frozen, trained, recipe)

    def add(total: jax.Array, micro: PackedBatch) -> tuple[jax.Array, None]:
        return total + packed_loss(params, recipe.config, adapters, micro), None

    total, _ = jax.lax.scan(add, jnp.zeros(()), batch)
    return total, jnp.asarray(batch.real).sum()


def summed_gradient(loss: Callable[[Any, Any, jax.Array], jax.Array], trained: Any, batch: Any) -> tuple[Any, Any]:
    """Loss and gradient, both summed over the micro-batches that lie on the first axis of the batch's arrays.

    loss(trained, micro, index): a scalar. Only one micro-batch's activations are held at a time.
    """

    def accumulate(total: Any, at: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(trained, *at)), None

    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)
    return jax.lax.scan(accumulate, zero, (batch, jnp.arange(batch[0].shape[0])))[0]
