"""Several examples in one row: each token attends to its own example alone, and counts positions from its start.

A row of fixed width holds as many examples as fit, so that little of a batch is padding and one shape is compiled.
Loss and gradients are those of the examples in rows of their own (Krell et al., 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.errors import UserError
from jaxrec.llm.cache import causal_mask
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward
from jaxrec.llm.layers import Adapters


class Example(NamedTuple):
    """A prompt and the answer to be learned, a stop token included where the answer is to end; both not empty."""

    prompt: Sequence[int]
    answer: Sequence[int]


class PackShape(NamedTuple):
    """Sizes of a batch. micro_batches, rows of each, width: tokens of a row, slots: answers' tokens of a row."""

    micro_batches: int
    rows: int
    width: int
    slots: int


class PackedBatch(NamedTuple):
    """Examples in the rows of micro-batches.

    tokens, positions: [M, B, T] int32. segments: [M, B, T] int32, which example of its row a token is of, from 1; 0
    fills the row. places: [M, B, N] int32, where the answers' tokens lie; real: [M, B, N] bool, False for what fills.
    """

    tokens: Any
    positions: Any
    segments: Any
    places: Any
    real: Any


def pack(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Rows of places in `lengths`: the longest first, each into the first row with room for it.

    Raises: UserError for a length above the width.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[place]
        if length > width:
            raise UserError(f"example {place}: found {length} tokens, allowed: up to {width}, the width of a row")
        first = next((row for row, left in enumerate(room) if left >= length), None)
        if first is None:
            rows.append([place])
            room.append(width - length)
        else:
            rows[first].append(place)
            room[first] -= length
    return rows


def pack_shape(
    batches: Iterable[Sequence[Example]], width: int, micro_batches: int = 1, row_multiple: int = 1
) -> PackShape:
    """The one shape that holds each of these batches. row_multiple: on a mesh the size of the axis "data"."""
    rows = slots = 1
    for examples in batches:
        packed = pack([len(prompt) + len(answer) for prompt, answer in examples], width)
        rows = max(rows, len(packed))
        slots = max([slots, *(sum(len(examples[place].answer) for place in row) for row in packed)])
    return PackShape(micro_batches, _ceil(-(-rows // micro_batches), row_multiple), width, _ceil(slots, 8))


def packed_batch(examples: Sequence[Example], config: DecoderConfig, shape: PackShape) -> PackedBatch:
    """Examples as NumPy arrays of that shape; rows without an example fill the last ones.

    Raises: UserError for an example that is empty, too long, or has tokens that the decoder lacks.
    """
    for index, example in enumerate(examples):
        check_example(index, example, config)
    micro_batches, rows, width, slots = shape
    count = micro_batches * rows
    tokens, positions, segments = (np.zeros((count, width), np.int32) for _ in range(3))
    # A place of 1 reads the logits of token 0, which every row has.
    places, real = np.ones((count, slots), np.int32), np.zeros((count, slots), bool)
    for row, members in enumerate(pack([len(prompt) + len(answer) for prompt, answer in examples], width)):
        start = used = 0
        for segment, member in enumerate(members, start=1):
            prompt, answer = examples[member]
            end = start + len(prompt) + len(answer)
            tokens[row, start:end] = [*prompt, *answer]
            positions[row, start:end] = np.arange(end - start)
            segments[row, start:end] = segment
            places[row, used : used + len(answer)] = np.arange(start + len(prompt), end)
            used += len(answer)
            start = end
        real[row, :used] = True
    arrays = (tokens, positions, segments, places, real)
    return PackedBatch(*(array.reshape(micro_batches, rows, -1) for array in arrays))


def packed_loss(
    params: Params,
    config: DecoderConfig,
    adapters: Adapters | None,
    micro: PackedBatch,
    *,
    remat: bool = False,
) -> jax.Array:
    """The sum of -log p over the answers' tokens of one micro-batch (without the axis M); differentiable.

    adapters: as `decoder.forward` takes them. Logits are computed for the answers alone.
    """
    mask = causal_mask(micro.tokens.shape[1], micro.tokens.shape[1])
    mask = mask & (micro.segments[:, :, None] == micro.segments[:, None, :])
    logits, _ = forward(
        params,
        config,
        micro.tokens,
        micro.positions,
        mask=mask,
        adapters=adapters,
        logits_at=micro.places - 1,
        remat=remat,
    )
    wanted = jnp.take_along_axis(micro.tokens, micro.places, axis=1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    return jnp.where(micro.real, losses, 0.0).sum()


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
