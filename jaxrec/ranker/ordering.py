"""Pools in a tuned model's order: what it is asked of each user, whether that fits, and the lists that come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.llm.decoder import unstack
from jaxrec.llm.generate import Generator
from jaxrec.llm.score import Scorer
from jaxrec.llm.sharding import place
from jaxrec.models.sealr_config import ASKED, PromptConfig, RankingConfig
from jaxrec.ranker.examples import Example
from jaxrec.ranker.names import ItemTexts
from jaxrec.ranker.prompt_tokens import Encoded, PromptTokens
from jaxrec.ranker.ranking import Ranked, Request, Tell, full_order, rank_by_generation, rank_by_score
from jaxrec.ranker.tuned import Tuned


class Asked(NamedTuple):
    """Of n users: their prompts and, with the tokens of each candidate, what the model is asked."""

    tokens: PromptTokens
    encoded: list[Encoded]
    requests: list[Request]


def ask(
    tuned: Tuned,
    texts: ItemTexts,
    prompt: PromptConfig,
    method: str,
    examples: Sequence[Example],
    pools: np.ndarray,
) -> Asked:
    """pools: [n, C] int32, the retriever's best first, -1 behind the last. method: of RankingConfig.

    Raises: UserError where a prompt and its answer are longer than what the decoder reads, or as `PromptTokens`.
    """
    tokens = PromptTokens(tuned.tokenizer, texts, prompt)
    encoded = [tokens.encode(example) for example in examples]
    requests = [
        Request(one.prompt, [tokens.item(item) for item in pool[pool >= 0].tolist()])
        for one, pool in zip(encoded, pools, strict=True)
    ]
    longest = max(len(request.prompt) for request in requests)
    items = ASKED if method == "generate" else 1
    answer = items * (max(len(one) for request in requests for one in request.candidates) + 1) + 1
    if longest + answer > tuned.config.max_positions:
        raise UserError(
            f"prompt.max_tokens: found prompts of {longest} tokens and answers of up to {answer}; "
            f"allowed: {tuned.config.max_positions} together, all that the decoder reads"
        )
    return Asked(tokens, encoded, requests)


def rank(
    asked: Asked,
    tuned: Tuned,
    prompt: PromptConfig,
    config: RankingConfig,
    mesh: Mesh | None = None,
    tell: Tell | None = None,
) -> list[Ranked]:
    """What the model says of each request, by the method of the settings."""
    adapters = None if tuned.adapters is None else place(tuned.adapters, tuned.config, mesh)
    params, tokens = place(tuned.params, tuned.config, mesh), asked.tokens
    if config.method == "score":
        scorer = Scorer(params, tuned.config, config.batch_size, mesh, adapters)
        # An item with a token of its own begins no other.
        endings = () if prompt.items == "new_tokens" else (tokens.separator[0], tokens.end)
        return rank_by_score(scorer, asked.requests, endings, tell)
    # Layers one after the other make the steps of an answer faster, where one device holds them.
    params = unstack(params) if mesh is None else params
    generator = Generator(params, tuned.config, (tokens.end,), config.batch_size, mesh, adapters)
    return rank_by_generation(generator, asked.requests, tokens.separator, ASKED, tell)


def lists_of(pools: np.ndarray, ranked: Sequence[Ranked], refill: str) -> tuple[np.ndarray, np.ndarray]:
    """Items [n, C] int32, best first, -1 behind the last, and their scores, NaN where the model gave none.

    refill: of RankingConfig.
    """
    items, scores = np.full(pools.shape, -1, np.int32), np.full(pools.shape, np.nan, np.float32)
    for row, one in enumerate(ranked):
        order = full_order(one) if refill == "retriever" else one.order
        items[row, : len(order)] = pools[row][pools[row] >= 0][order]
        scores[row, : len(order)] = one.scores[order]
    return items, scores
