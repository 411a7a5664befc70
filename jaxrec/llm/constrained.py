"""Answers under masks, step by step: while the device works on a token, the host finds what may follow it.

How long an answer gets is not known before: the cache begins with few free slots and has four times as many when they
are full, and once most of the rows have ended, the others go on without them. This changes only what is computed in
vain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrec.llm.cache import Cache
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params
from jaxrec.llm.decoding import Rows, choose_next, step
from jaxrec.llm.layers import Adapters
from jaxrec.llm.sharding import constrain_cache, place_rows

FIRST_SLOTS = 128
"""Free slots that a cache begins with."""
_MANY = 4
"""Each number of rows and of slots is compiled for, so few are used."""


class TokenMask(Protocol):
    """What one answer may go on with, such as a grammar; each request has its own."""

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing may follow."""
        ...

    def allowed(self) -> np.ndarray:
        """[V] bool, at least one of them True; a shorter array forbids the ids beyond it."""
        ...

    def take(self, token: int) -> None:
        """The token was chosen; it is no stop token."""
        ...


def answer_under_masks(
    params: Params,
    config: DecoderConfig,
    masks: Sequence[TokenMask],
    limits: Sequence[int],
    stop_tokens: Sequence[int],
    start: tuple[Rows, jax.Array, Cache],
    mesh: Mesh | None = None,
    adapters: Adapters | None = None,
) -> list[list[int]]:
    """The tokens of each row's answer, a stop token included.

    limits: the most tokens of each. start: rows, logits [B, V] and cache of the prefill, with at least one free slot;
    rows behind the last mask only fill the batch. Raises: ValueError where a mask allows no token.
    """
    rows, logits, cache = start
    answers: list[list[int]] = [[] for _ in masks]
    running = dict(enumerate(range(len(masks))))  # place in the batch on the device -> row
    free = cache.keys.shape[2] - int(cache.length)
    for place in range(max(limits)):
        allowed = _allowed(masks, running, logits.shape)
        chosen = choose_next(logits, rows.choice, jnp.int32(place), place_rows(allowed, mesh))
        tokens = np.asarray(chosen)
        for at, row in list(running.items()):
            answers[row].append(int(tokens[at]))
            if _ended(masks[row], answers[row], limits[row], stop_tokens):
                del running[at]
        if not running:
            break
        if mesh is None and len(running) <= len(tokens) // _MANY:
            kept = [*running, *[next(iter(running))] * (_power_of_two(len(running)) - len(running))]
            rows, chosen, cache = _take((rows, chosen, cache), jnp.asarray(kept, jnp.int32))
            running = dict(enumerate(running.values()))
        if place == free:
            cache, free = _grown(cache, (_MANY - 1) * free, mesh), _MANY * free
        logits, cache = step(params, config, cache, chosen, rows, jnp.int32(place), adapters)
    return answers


def _allowed(masks: Sequence[TokenMask], running: dict[int, int], shape: Sequence[int]) -> np.ndarray:
    """[B, V] bool; rows that have ended may be anything."""
    allowed = np.ones(tuple(shape), bool)
    for at, row in running.items():
        may = masks[row].allowed()
        if not may.any():
            raise ValueError(f"the mask of row {row} allows no token")
        allowed[at, : len(may)], allowed[at, len(may) :] = may, False
    return allowed


def _ended(mask: TokenMask, answer: list[int], limit: int, stop_tokens: Sequence[int]) -> bool:
    """Whether the answer has ended with its newest token, of which the mask is told."""
    if answer[-1] in stop_tokens:
        return True
    mask.take(answer[-1])
    return mask.finished or len(answer) >= limit


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


@jax.jit
def _take(state: tuple[Rows, jax.Array, Cache], kept: jax.Array) -> tuple[Rows, jax.Array, Cache]:
    """The state of some rows of the batch alone."""
    rows, chosen, cache = state
    row_of: Callable[[Any], Any] = lambda values: values[kept]  # noqa: E731
    return (
        jax.tree.map(row_of, rows),
        chosen[kept],
        Cache(cache.keys[:, kept], cache.values[:, kept], cache.length),
    )


@functools.partial(jax.jit, static_argnames=("more", "mesh"))
def _grown(cache: Cache, more: int, mesh: Mesh | None) -> Cache:
    """The cache with so many free slots more at its end."""
    pads = [(0, 0), (0, 0), (0, more), (0, 0), (0, 0)]
    grown = Cache(jnp.pad(cache.keys, pads), jnp.pad(cache.values, pads), cache.length)
    return constrain_cache(grown, mesh)
