"""A training step of adapters: cross entropy of the answers' tokens, gradients summed over micro-batches."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward
from jaxrec.llm.layers import Adapters
from jaxrec.llm.lora import LoRAConfig, scaled


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


def answer_batch(examples: Sequence[Example], config: DecoderConfig, micro_batches: int = 1) -> AnswerBatch:
    """Examples as arrays, in as many micro-batches of one size; rows without an example fill the last one.

    Widths are multiples of 32 tokens and 16 answer tokens, so that few shapes are compiled.
    Raises: UserError for an example that is empty, too long, or has tokens that the decoder lacks.
    """
    for index, example in enumerate(examples):
        _check(index, example, config)
    rows = -(-max(len(examples), 1) // micro_batches)
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


def init_state(adapters: Adapters, optimizer: optax.GradientTransformation) -> LoRAState:
    """The state before the first step, with arrays of its own, as steps reuse the memory of the state they take."""
    adapters = jax.tree.map(jnp.array, adapters)
    return LoRAState(adapters, optimizer.init(adapters), jnp.zeros((), jnp.int32))


@functools.partial(jax.jit, static_argnames=("config", "lora", "optimizer", "remat"), donate_argnames="state")
def train_step(
    params: Params,
    state: LoRAState,
    batch: AnswerBatch,
    *,
    config: DecoderConfig,
    lora: LoRAConfig,
    optimizer: optax.GradientTransformation,
    remat: bool = True,
) -> tuple[LoRAState, dict[str, jax.Array]]:
    """One update of the adapters by the mean over all answer tokens of the batch; the weights are only read.

    The mean is over the tokens of all micro-batches together, so their number changes nothing but memory.
    Returns the state and {"loss", "gradient_norm"}; the given state is used up.
    """
    count = jnp.maximum(jnp.asarray(batch.real).sum(), 1)

    def loss(adapters: Adapters, micro: AnswerBatch) -> jax.Array:
        return answer_loss(params, config, scaled(adapters, lora), *micro, remat=remat) / count

    def accumulate(total: tuple[jax.Array, Adapters], micro: AnswerBatch) -> tuple[tuple[jax.Array, Adapters], None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(state.adapters, micro)), None

    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.adapters)
    (total, gradient), _ = jax.lax.scan(accumulate, zero, batch)
    updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.adapters)
    adapters: Any = optax.apply_updates(state.adapters, updates)
    found = {"loss": total, "gradient_norm": optax.tree.norm(gradient)}
    return LoRAState(adapters, optimizer_state, state.step + 1), found


def _check(index: int, example: Example, config: DecoderConfig) -> None:
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
