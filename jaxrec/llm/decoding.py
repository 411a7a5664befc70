"""The compiled parts of generation: prefill, the free loop, and single steps for constrained output.

Prompts are padded at the left, so that all rows write the same slot of the cache. What all prompts begin with may lie
before that, computed once. Shapes are what is compiled for: rows, slots of the beginning, of the prompt, of the answer.
Lengths, limits and how to choose are arrays.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.llm.cache import Cache, causal_mask, empty_cache
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward
from jaxrec.llm.layers import Adapters
from jaxrec.llm.sampling import Choice, choose
from jaxrec.llm.sharding import constrain_cache


class Rows(NamedTuple):
    """The rows of a batch.

    lengths: tokens of the prompt, [B] int32. shared: how many of them all rows begin with and lie in the first slots
    of the cache, the same for all, [B] int32. limits: tokens that the answer may have, [B] int32; 0 for a row that
    only fills the batch. choice: how each row chooses.
    """

    lengths: jax.Array
    shared: jax.Array
    limits: jax.Array
    choice: Choice


class Answers(NamedTuple):
    """tokens [B, N] int32, the stop token included; counts [B] int32, how many are an answer's."""

    tokens: jax.Array
    counts: jax.Array


@functools.partial(jax.jit, static_argnames=("config", "num_slots", "mesh"))
def prefill(
    params: Params,
    config: DecoderConfig,
    tokens: jax.Array,
    rows: Rows,
    num_slots: int,
    mesh: Mesh | None = None,
    adapters: Adapters | None = None,
    beginning: Cache | None = None,
) -> tuple[jax.Array, Cache]:
    """Logits [B, V] of the first token, and a cache of num_slots. tokens: [B, P] int32, prompts at the right.

    beginning: the cache, of one row and no free slot, of what all prompts begin with; `tokens` are then without it.
    """
    batch_size, width = tokens.shape
    cache = constrain_cache(empty_cache(config, batch_size, num_slots), mesh)
    if beginning is not None:
        shared = beginning.keys.shape[2]
        keys = cache.keys.at[:, :, :shared].set(beginning.keys)
        values = cache.values.at[:, :, :shared].set(beginning.values)
        cache = Cache(keys, values, beginning.length)
    start = cache.length
    first = start + width - (rows.lengths - rows.shared)
    positions = jnp.maximum(jnp.arange(width)[None, :] + (rows.lengths - width)[:, None], 0)
    mask = causal_mask(width, num_slots, start) & _real(rows.shared, first, num_slots)
    last = jnp.full((batch_size, 1), width - 1)
    logits, filled = forward(params, config, tokens, positions, cache, mask, adapters=adapters, logits_at=last)
    assert filled is not None
    return logits[:, 0], filled


@functools.partial(jax.jit, static_argnames="config", donate_argnames="cache")
def step(
    params: Params,
    config: DecoderConfig,
    cache: Cache,
    tokens: jax.Array,
    rows: Rows,
    place: jax.Array,
    adapters: Adapters | None = None,
) -> tuple[jax.Array, Cache]:
    """Logits [B, V] of the token after `tokens` [B], which are the answers' tokens at `place`, from 0."""
    return _step(params, config, cache, tokens, rows, place, adapters)


choose_next = jax.jit(choose)
"""`choose`, compiled: with a mask, what the host does between two steps."""


@functools.partial(jax.jit, static_argnames=("config", "num_tokens"), donate_argnames="cache")
def decode(
    params: Params,
    config: DecoderConfig,
    cache: Cache,
    logits: jax.Array,
    rows: Rows,
    stop_tokens: jax.Array,
    num_tokens: int,
    adapters: Adapters | None = None,
) -> tuple[Answers, Cache]:
    """Answers of up to num_tokens, in one loop on the device that ends when every row has ended.

    cache, logits: of the prefill, with num_tokens free slots. stop_tokens: [n] int32; a row ends with one of them or
    at its limit.
    """

    def take(place: jax.Array, logits: jax.Array, answers: Answers, done: jax.Array) -> tuple[Answers, jax.Array]:
        chosen = choose(logits, rows.choice, place)
        tokens = answers.tokens.at[:, place].set(jnp.where(done, 0, chosen))
        counts = answers.counts + ~done
        stopped = (chosen[:, None] == stop_tokens[None, :]).any(axis=1)
        return Answers(tokens, counts), done | stopped | (counts >= rows.limits)

    def body(state: tuple) -> tuple:
        place, answers, done, cache = state
        logits, cache = _step(params, config, cache, answers.tokens[:, place - 1], rows, place - 1, adapters)
        answers, done = take(place, logits, answers, done)
        return place + 1, answers, done, cache

    batch_size = logits.shape[0]
    empty = Answers(jnp.zeros((batch_size, num_tokens), jnp.int32), jnp.zeros(batch_size, jnp.int32))
    answers, done = take(jnp.int32(0), logits, empty, rows.limits <= 0)
    state = jax.lax.while_loop(
        lambda state: (state[0] < num_tokens) & ~state[2].all(), body, (jnp.int32(1), answers, done, cache)
    )
    return state[1], state[3]


def _step(
    params: Params,
    config: DecoderConfig,
    cache: Cache,
    tokens: jax.Array,
    rows: Rows,
    place: jax.Array,
    adapters: Adapters | None,
) -> tuple[jax.Array, Cache]:
    num_slots = cache.keys.shape[2]
    # The prompt ended in the slot before the answer's first.
    first = cache.length - place - (rows.lengths - rows.shared)
    mask = causal_mask(1, num_slots, cache.length) & _real(rows.shared, first, num_slots)
    positions = (rows.lengths + place)[:, None]
    logits, cache = forward(params, config, tokens[:, None], positions, cache, mask, adapters=adapters)  # type: ignore
    return logits[:, 0], cache


def _real(shared: jax.Array, first: jax.Array, num_slots: int) -> jax.Array:
    """[B, 1, S] bool: the slots that all rows share, and each row's own from its first on."""
    slots = jnp.arange(num_slots)[None, :]
    return ((slots < shared[:, None]) | (slots >= first[:, None]))[:, None, :]
