"""Answers to prompts: sorted into few shapes, run in batches, free or under a mask for each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.llm.cache import Cache
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.constrained import FIRST_SLOTS, TokenMask, answer_under_masks
from jaxrec.llm.decoder import Params
from jaxrec.llm.decoding import Rows, decode, prefill
from jaxrec.llm.layers import Adapters
from jaxrec.llm.sampling import Choice
from jaxrec.llm.sharding import place_rows

PROMPT_SLOTS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 16384, 32768)
"""Prompt lengths that are compiled for: few, and never much more than a prompt needs."""
ANSWER_SLOTS = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
SHARED_STEP = 64
"""What all prompts begin with is computed once, in multiples of so many tokens: few lengths are compiled for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prompt:
    """One request. tokens: at least one. max_tokens: the most that the answer may have.

    temperature: 0 is greedy. top_p: above 0, up to 1. seed, request: any whole numbers; with the tokens before it
    they decide each draw, whatever else is in the batch. mask: what each token may be, None is anything.
    """

    tokens: Sequence[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    request: int = 0
    mask: TokenMask | None = None


class Answer(NamedTuple):
    """tokens: without the stop token. stopped: it ended by itself, and not at max_tokens."""

    tokens: list[int]
    stopped: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
    """A decoder ready to answer.

    params, adapters: on the devices (`sharding.place`); `decoder.unstack` makes steps up to twice as fast and compiles
    longer. stop_tokens: ids that end an answer. batch_size: prompts that run at once. mesh: where the parameters lie.
    """

    params: Params
    config: DecoderConfig
    stop_tokens: Sequence[int]
    batch_size: int = 8
    mesh: Mesh | None = None
    adapters: Adapters | None = None

    def generate(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answers in the order of the prompts. Raises UserError for a prompt that cannot be answered."""
        answers = dict(self.each(prompts))
        return [answers[index] for index in range(len(prompts))]

    def each(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Answer]]:
        """Indices of prompts and their answers, as batches finish. Raises as `generate` does, before the first."""
        for index, prompt in enumerate(prompts):
            self._check(index, prompt)
        beginning = self._beginning(prompts)
        shared = _length(beginning)
        shapes: dict[tuple[bool, int, int], list[int]] = {}
        for index, prompt in enumerate(prompts):
            shape = _slots(PROMPT_SLOTS, len(prompt.tokens) - shared), _slots(ANSWER_SLOTS, prompt.max_tokens)
            shapes.setdefault((prompt.mask is not None, *shape), []).append(index)
        for (masked, width, num_tokens), members in sorted(shapes.items()):
            for start in range(0, len(members), self.batch_size):
                some = members[start : start + self.batch_size]
                batch = [prompts[index] for index in some]
                run = self._masked if masked else self._free
                yield from zip(some, run(batch, width, num_tokens, beginning), strict=True)

    def _beginning(self, prompts: Sequence[Prompt]) -> Cache | None:
        """Keys and values of what all prompts begin with, None where that is not worth it."""
        if self.mesh is not None or len(prompts) < 2:
            return None
        shared = _num_shared([list(prompt.tokens) for prompt in prompts])
        if not shared:
            return None
        tokens = np.asarray([prompts[0].tokens[:shared]], np.int32)
        _, cache = prefill(self.params, self.config, tokens, _empty_rows(1, shared), shared, None, self.adapters)
        return cache

    def _free(self, batch: list[Prompt], width: int, num_tokens: int, beginning: Cache | None) -> list[Answer]:
        rows, logits, cache = self._start(batch, width, num_tokens, beginning)
        stop = jnp.asarray(self.stop_tokens, jnp.int32)
        found, _ = decode(self.params, self.config, cache, logits, rows, stop, num_tokens, self.adapters)
        tokens, counts = jax.device_get(found)
        return [self._answer(tokens[row, : counts[row]].tolist()) for row in range(len(batch))]

    def _masked(self, batch: list[Prompt], width: int, num_tokens: int, beginning: Cache | None) -> list[Answer]:
        start = self._start(batch, width, min(FIRST_SLOTS, num_tokens), beginning)
        masks = [prompt.mask for prompt in batch if prompt.mask is not None]
        limits = [prompt.max_tokens for prompt in batch]
        answers = answer_under_masks(
            self.params, self.config, masks, limits, self.stop_tokens, start, self.mesh, self.adapters
        )
        return [self._answer(tokens, mask) for tokens, mask in zip(answers, masks, strict=True)]

    def _answer(self, tokens: list[int], mask: TokenMask | None = None) -> Answer:
        if tokens and tokens[-1] in self.stop_tokens:
            return Answer(tokens[:-1], True)
        return Answer(tokens, mask is not None and mask.finished)

    def _start(
        self, batch: list[Prompt], width: int, num_tokens: int, beginning: Cache | None
    ) -> tuple[Rows, jax.Array, Cache]:
        """The batch on the devices and its prefill; rows that only fill it up have one token of their own, limit 0."""
        count, shared = self._num_rows(len(batch)), _length(beginning)
        tokens, rows = np.zeros((count, width), np.int32), _empty_rows(count, 1 + shared, shared)
        choice = rows.choice
        for row, prompt in enumerate(batch):
            tokens[row, width + shared - len(prompt.tokens) :] = prompt.tokens[shared:]
            rows.lengths[row], rows.limits[row] = len(prompt.tokens), prompt.max_tokens
            choice.temperature[row], choice.top_p[row] = prompt.temperature, prompt.top_p
            choice.seed[row], choice.request[row] = prompt.seed % 2**32, prompt.request % 2**32
        tokens, rows = place_rows((tokens, rows), self.mesh)
        num_slots = shared + width + num_tokens
        logits, cache = prefill(self.params, self.config, tokens, rows, num_slots, self.mesh, self.adapters, beginning)
        return rows, logits, cache

    def _num_rows(self, count: int) -> int:
        """The next power of two, so that the last batches are compiled for few sizes; a multiple of the data axis."""
        rows = min(1 << (count - 1).bit_length(), max(self.batch_size, count))
        data = 1 if self.mesh is None else self.mesh.shape["data"]
        return -(-rows // data) * data

    def _check(self, index: int, prompt: Prompt) -> None:
        length, config = len(prompt.tokens), self.config
        total = length + prompt.max_tokens
        rules = (
            ("tokens", length >= 1, "none", "at least one"),
            ("max_tokens", prompt.max_tokens >= 1, prompt.max_tokens, "1 or more"),
            ("temperature", 0 <= prompt.temperature < np.inf, prompt.temperature, "0 or more"),
            ("top_p", 0 < prompt.top_p <= 1, prompt.top_p, "above 0, up to 1"),
            ("tokens and max_tokens", total <= config.max_positions, total, f"up to {config.max_positions} together"),
        )
        for field, holds, found, allowed in rules:
            if not holds:
                raise UserError(f"prompt {index}: {field}: found {found}, allowed: {allowed}")
        for token in (min(prompt.tokens), max(prompt.tokens)):
            if not 0 <= token < config.vocab_size:
                raise UserError(f"prompt {index}: tokens: found {token}, allowed: 0 to {config.vocab_size - 1}")


def _empty_rows(count: int, length: int, shared: int = 0) -> Any:
    """Rows of NumPy arrays: prompts of that length, greedy, without an answer."""
    choice = Choice(*(np.full(count, value) for value in (np.float32(0), np.float32(1), np.uint32(0), np.uint32(0))))  # type: ignore
    return Rows(*(np.full(count, value, np.int32) for value in (length, shared, 0)), choice)  # type: ignore


def _length(beginning: Cache | None) -> int:
    return 0 if beginning is None else beginning.keys.shape[2]


def _num_shared(prompts: Sequence[list[int]]) -> int:
    """Tokens that all begin with, in multiples of SHARED_STEP; each keeps at least one of its own."""
    # The first and the last in their order have no more in common than any two.
    first, last = min(prompts), max(prompts)
    same = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return min(same, min(map(len, prompts)) - 1) // SHARED_STEP * SHARED_STEP


def _slots(sizes: Sequence[int], wanted: int) -> int:
    """The first size that is enough; beyond the largest, as many thousands as are needed."""
    return next((size for size in sizes if size >= wanted), -(-wanted // 1024) * 1024)
