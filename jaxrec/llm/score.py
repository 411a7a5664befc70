"""Log-probabilities of candidates under a shared prompt: the prompt is computed once, all candidates attend to it.

All candidates of a prompt lie in one row behind its cache, as a tree (`candidate_tree`): each of its tokens attends to
the prompt and to its own ancestors. Unlike a row for each candidate this copies no cache. Prompt and first tree go
through the decoder together, so that every weight is read once; where there are more trees the prompt's keys and
values are kept for them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.llm.cache import Cache, causal_mask, empty_cache
from jaxrec.llm.candidate_tree import Tree, trees
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward
from jaxrec.llm.generate import PROMPT_SLOTS
from jaxrec.llm.layers import Adapters
from jaxrec.llm.sharding import constrain_cache, place_rows

NODE_SLOTS = (0, 16, 32, 64, 96, 128, 192, 256)
"""Tokens of candidates that are compiled for; longer single candidates take multiples of the last."""


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """One request. prompt: at least one token. candidates: at least one, each of at least one token."""

    prompt: Sequence[int]
    candidates: Sequence[Sequence[int]]


class Scores(NamedTuple):
    """Of each candidate's tokens after the prompt: the sum of their log-probabilities, and its mean, [C] float64."""

    total: np.ndarray
    mean: np.ndarray


class Asked(NamedTuple):
    """Trees of a batch: tokens, depths [B, N] int32; visible [B, N, N] bool; at, of [B, E] int32, 0 is the prompt."""

    tokens: Any
    depths: Any
    visible: Any
    at: Any
    of: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """A decoder ready to score; the fields are those of `generate.Generator`."""

    params: Params
    config: DecoderConfig
    batch_size: int = 8
    mesh: Mesh | None = None
    adapters: Adapters | None = None

    def score(self, requests: Sequence[Candidates]) -> list[Scores]:
        """Scores in the order of the requests and of their candidates.

        Raises: UserError for a prompt or candidate that is empty, too long, or has tokens that the decoder lacks.
        """
        for index, request in enumerate(requests):
            self._check(index, request)
        packed = [trees(request.candidates) for request in requests]
        shapes: dict[tuple[int, int], list[int]] = {}
        for index, request in enumerate(requests):
            nodes = max(len(tree.tokens) for tree in packed[index])
            shapes.setdefault((_slots(PROMPT_SLOTS, len(request.prompt)), _slots(NODE_SLOTS, nodes)), []).append(index)
        totals = [np.zeros(len(request.candidates)) for request in requests]
        for (width, nodes), members in sorted(shapes.items()):
            for start in range(0, len(members), self.batch_size):
                some = members[start : start + self.batch_size]
                batch = [(requests[index].prompt, packed[index], totals[index]) for index in some]
                self._run(batch, width, nodes)
        lengths = ([len(candidate) for candidate in request.candidates] for request in requests)
        return [Scores(total, total / np.array(counts)) for total, counts in zip(totals, lengths, strict=True)]

    def _run(self, batch: list[tuple[Sequence[int], list[Tree], np.ndarray]], width: int, nodes: int) -> None:
        """Adds the log-probabilities to the totals of a batch; one pass with the prompt, one for each further tree."""
        count = self._num_rows(len(batch))
        tokens, lengths = np.zeros((count, width), np.int32), np.ones(count, np.int32)
        for row, (prompt, _, _) in enumerate(batch):
            tokens[row, width - len(prompt) :] = prompt
            lengths[row] = len(prompt)
        tokens, lengths = place_rows((tokens, lengths), self.mesh)
        turns = max(len(packed) for _, packed, _ in batch)
        first, cache = None, None
        for turn in range(turns):
            given = [packed[turn] if turn < len(packed) else Tree() for _, packed, _ in batch]
            asked = place_rows(_stack(given, count, nodes), self.mesh)
            if cache is None:
                found, first, cache = score_with_prompt(
                    self.params, self.config, tokens, lengths, asked, self.adapters, self.mesh, keep=turns > 1
                )
            else:
                found, cache = _after_prompt(self.params, self.config, cache, first, lengths, asked, self.adapters)
            for row, values in enumerate(np.asarray(found, np.float64)[: len(batch)]):
                asked_by = given[row].asked_by
                np.add.at(batch[row][2], asked_by, values[: len(asked_by)])

    def _num_rows(self, count: int) -> int:
        """The next power of two, so that few sizes are compiled; a multiple of the data axis."""
        rows = min(1 << (count - 1).bit_length(), max(self.batch_size, count))
        data = 1 if self.mesh is None else self.mesh.shape["data"]
        return -(-rows // data) * data

    def _check(self, index: int, request: Candidates) -> None:
        config, place = self.config, f"request {index}"
        if not len(request.candidates):
            raise UserError(f"{place}: candidates: found none, allowed: at least one")
        names = ["prompt", *(f"candidates[{number}]" for number in range(len(request.candidates)))]
        for name, tokens in zip(names, [request.prompt, *request.candidates], strict=True):
            if not len(tokens):
                raise UserError(f"{place}: {name}: found no tokens, allowed: at least one")
            for token in (min(tokens), max(tokens)):
                if not 0 <= token < config.vocab_size:
                    raise UserError(f"{place}: {name}: found token {token}, allowed: 0 to {config.vocab_size - 1}")
        total = len(request.prompt) + max(len(candidate) for candidate in request.candidates)
        if total > config.max_positions:
            raise UserError(
                f"{place}: prompt and longest candidate: found {total} tokens, allowed: up to {config.max_positions}"
            )


@functools.partial(jax.jit, static_argnames=("config", "mesh", "keep"))
def score_with_prompt(
    params: Params,
    config: DecoderConfig,
    tokens: jax.Array,
    lengths: jax.Array,
    asked: Asked,
    adapters: Adapters | None,
    mesh: Mesh | None,
    *,
    keep: bool,
) -> tuple[jax.Array, jax.Array, Cache | None]:
    """Log-probabilities [B, E], the prompt's last logits [B, V], and where they are kept its keys and values.

    tokens: [B, P] int32, prompts at the right.
    """
    (batch_size, width), num_nodes = tokens.shape, asked.tokens.shape[1]
    slots = jnp.arange(width)[None, :] - (width - lengths)[:, None]
    real = (slots >= 0)[:, None, :]
    # Prompts attend to no node, and no one to what fills the front of a row.
    within = causal_mask(width, width + num_nodes) & jnp.pad(real, ((0, 0), (0, 0), (0, num_nodes)))
    mask = jnp.concatenate([within, _nodes_mask(asked, lengths, width)], axis=1)
    positions = jnp.concatenate([jnp.maximum(slots, 0), lengths[:, None] + asked.depths], axis=1)
    cache = constrain_cache(empty_cache(config, batch_size, width + num_nodes), mesh) if keep else None
    wanted = jnp.broadcast_to(jnp.arange(width - 1, width + num_nodes)[None, :], (batch_size, num_nodes + 1))
    together = jnp.concatenate([tokens, asked.tokens], axis=1)
    logits, cache = forward(params, config, together, positions, cache, mask, adapters=adapters, logits_at=wanted)
    if cache is not None:
        cache = cache._replace(length=jnp.int32(width))
    return _read(logits, asked.at, asked.of), logits[:, 0], cache


@functools.partial(jax.jit, static_argnames="config", donate_argnames="cache")
def _after_prompt(
    params: Params,
    config: DecoderConfig,
    cache: Cache,
    first: jax.Array,
    lengths: jax.Array,
    asked: Asked,
    adapters: Adapters | None,
) -> tuple[jax.Array, Cache]:
    """Log-probabilities [B, E] of another tree, which takes the former's slots. first: the prompt's last logits."""
    mask = _nodes_mask(asked, lengths, cache.keys.shape[2] - asked.tokens.shape[1])
    positions = lengths[:, None] + asked.depths
    logits, filled = forward(params, config, asked.tokens, positions, cache, mask, adapters=adapters)  # type: ignore
    assert filled is not None
    found = _read(jnp.concatenate([first[:, None], logits], axis=1), asked.at, asked.of)
    return found, filled._replace(length=cache.length)


def _nodes_mask(asked: Asked, lengths: jax.Array, width: int) -> jax.Array:
    """[B, N, P + N] bool: a node attends to the prompt and to its ancestors."""
    prompt = jnp.arange(width)[None, :] >= (width - lengths)[:, None]
    prompt = jnp.broadcast_to(prompt[:, None, :], (prompt.shape[0], asked.tokens.shape[1], width))
    return jnp.concatenate([prompt, asked.visible], axis=2)


def _read(logits: jax.Array, at: jax.Array, of: jax.Array) -> jax.Array:
    """Log-probabilities [B, E] of tokens `of` under the logits [B, N, V] at places `at`."""
    normalizers = jax.nn.logsumexp(logits, axis=2)
    rows = jnp.arange(logits.shape[0])[:, None]
    return logits[rows, at, of] - normalizers[rows, at]


def _stack(given: list[Tree], count: int, nodes: int) -> Asked:
    """The trees of a batch in arrays of few sizes; what fills them up asks for token 0 after the prompt."""
    most = max(len(tree.asked_at) for tree in given)
    size = max(16, 1 << (most - 1).bit_length())
    tokens, depths = np.zeros((count, nodes), np.int32), np.zeros((count, nodes), np.int32)
    visible = np.tile(np.eye(nodes, dtype=bool), (count, 1, 1))
    at, of = np.zeros((count, size), np.int32), np.zeros((count, size), np.int32)
    for row, tree in enumerate(given):
        tokens[row, : len(tree.tokens)] = tree.tokens
        depths[row, : len(tree.tokens)] = tree.depths
        visible[row] = tree.visible(nodes)
        at[row, : len(tree.asked_at)] = np.array(tree.asked_at, np.int32) + 1
        of[row, : len(tree.asked_at)] = tree.asked_tokens
    return Asked(tokens, depths, visible, at, of)


def _slots(sizes: Sequence[int], wanted: int) -> int:
    """The first size that is enough; beyond the largest, a multiple of it."""
    return next((size for size in sizes if size >= wanted), -(-wanted // sizes[-1]) * sizes[-1])
