"""A training step of adapters: cross entropy of the answers' tokens, gradients summed over micro-batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward
from jaxrec.llm.layers import Adapters
from jaxrec.llm.lora import LoRAConfig, scaled
from jaxrec.llm.sharding import constrain, place


class Example(NamedTuple):
    """A prompt and the answer to be learned, a stop token included where the answer is to end; both not empty."""

    prompt: Sequence[int]
    answer: Sequence[int]


class AnswerBatch(NamedTuple):
    """Examples in micro-batches, padded at the right.

    tokens: [M, B, T] int32, prompt and answer. places: [M, B, N] int32, where the answer's tokens lie among them;
    real: [M, B, N] bool, False where a place only fills the row.
    """

    tokens: Any
    places: Any
    real: Any


class LoRAState(NamedTuple):
    """What training changes."""

    adapters: Adapters
    optimizer: optax.OptState
    step: jax.Array


def answer_batch(
    examples: Sequence[Example], config: DecoderConfig, micro_batches: int = 1, row_multiple: int = 1
) -> AnswerBatch:
    """Examples as NumPy arrays, in as many micro-batches of one size; rows without an example fill the last ones.

    row_multiple: rows of a micro-batch are a multiple of it; on a mesh it is the size of the axis "data". Widths are
    multiples of 32 tokens and 16 answer tokens, so that few shapes are compiled.
    Raises: UserError for an example that is empty, too long, or has tokens that the decoder lacks.
    """
    for index, example in enumerate(examples):
        check_example(index, example, config)
    rows = _ceil(-(-max(len(examples), 1) // micro_batches), row_multiple)
    width = _ceil(max((len(prompt) + len(answer) for prompt, answer in examples), default=1), 32)
    slots = _ceil(max((len(answer) for _, answer in examples), default=1), 16)
    count = micro_batches * rows
    tokens = np.zeros((count, width), np.int32)
    # A place of 1 reads the logits of token 0, which every row has.
    places, real = np.ones((count, slots), np.int32), np.zeros((count, slots), bool)
    for row, (prompt, answer) in enumerate(examples):
        total = len(prompt) + len(answer)
        tokens[row, :total] = [*prompt, *answer]
        places[row, : len(answer)] = np.arange(len(prompt), total)
        real[row, : len(answer)] = True
    return AnswerBatch(*(array.reshape(micro_batches, rows, -1) for array in (tokens, places, real)))


def answer_loss(
    params: Params,
    config: DecoderConfig,
    adapters: Adapters | None,
    tokens: jax.Array,
    places: jax.Array,
    real: jax.Array,
    *,
    remat: bool = False,
) -> jax.Array:
    """The sum of -log p over the answers' tokens of one micro-batch; adapters as `decoder.forward` takes them.

    Logits are computed for the answers alone: for a vocabulary of 32,000 they would outweigh all other activations.
    """
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None, :], tokens.shape)
    logits, _ = forward(params, config, tokens, positions, adapters=adapters, logits_at=places - 1, remat=remat)
    wanted = jnp.take_along_axis(tokens, places, axis=1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    return jnp.where(real, losses, 0.0).sum()


def init_state(
    adapters: Adapters, optimizer: optax.GradientTransformation, config: DecoderConfig, mesh: Mesh | None = None
) -> LoRAState:
    """The state before the first step on its devices, in arrays of its own, as a step reuses the state it takes."""
    adapters = jax.tree.map(jnp.array, adapters)
    return place(LoRAState(adapters, optimizer.init(adapters), jnp.zeros((), jnp.int32)), config, mesh)


@functools.partial(jax.jit, static_argnames=("config", "lora", "optimizer", "remat", "mesh"), donate_argnames="state")
def train_step(
    params: Params,
    state: LoRAState,
    batch: AnswerBatch,
    *,
    config: DecoderConfig,
    lora: LoRAConfig,
    optimizer: optax.GradientTransformation,
    remat: bool = True,
    seed: jax.Array | int = 0,
    mesh: Mesh | None = None,
) -> tuple[LoRAState, dict[str, jax.Array]]:
    """One update of the adapters by the mean over all answer tokens of the batch; the weights are only read.

    params: plain or of eight bits. The mean is over the tokens of all micro-batches together, so their number changes
    nothing but memory, and with dropout what is drawn: from seed, step, micro-batch, projection and layer. mesh: where
    params (`sharding.place`) and batch (`sharding.place_rows`, axis 1) lie; the losses are those of one device.
    Returns the state and {"loss", "gradient_norm"}; the given state is used up.
    """
    count = jnp.maximum(jnp.asarray(batch.real).sum(), 1)
    rng = jax.random.fold_in(jax.random.key(seed), state.step)

    def loss(adapters: Adapters, micro: AnswerBatch, index: jax.Array) -> jax.Array:
        folded = scaled(adapters, lora, jax.random.fold_in(rng, index))
        return answer_loss(params, config, folded, *micro, remat=remat) / count

    total, gradient = summed_gradient(loss, state.adapters, batch)
    updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.adapters)
    adapters: Any = optax.apply_updates(state.adapters, updates)
    found = {"loss": total, "gradient_norm": optax.tree.norm(gradient)}
    # Where it came from, so that the next step is compiled for what this one gives.
    return constrain(LoRAState(adapters, optimizer_state, state.step + 1), config, mesh), found


def summed_gradient(loss: Callable[[Any, Any, jax.Array], jax.Array], trained: Any, batch: Any) -> tuple[Any, Any]:
    """Loss and gradient, both summed over the micro-batches that lie on the first axis of the batch's arrays.

    loss(trained, micro, index): a scalar. Only one micro-batch's activations are held at a time.
    """

    def accumulate(total: Any, at: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(trained, *at)), None

    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)
    return jax.lax.scan(accumulate, zero, (batch, jnp.arange(batch[0].shape[0])))[0]


def check_example(index: int, example: Example, config: DecoderConfig) -> None:
    """Raises UserError for an example that is empty, too long, or has tokens that the decoder lacks."""
    for name, tokens in example._asdict().items():
        if not len(tokens):
            raise UserError(f"example {index}: {name}: found no tokens, allowed: at least one")
        for token in (min(tokens), max(tokens)):
            if not 0 <= token < config.vocab_size:
                raise UserError(f"example {index}: {name}: found token {token}, allowed: 0 to {config.vocab_size - 1}")
    total = len(example.prompt) + len(example.answer)
    if total > config.max_positions:
        raise UserError(f"example {index}: found {total} tokens, allowed: up to {config.max_positions} together")


def _ceil(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
