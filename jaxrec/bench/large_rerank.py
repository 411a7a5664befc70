"""A user's 50 candidates put in order by a decoder of the shape of Llama's 7B in bfloat16, for an accelerator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxrec.bench.candidate_ranking import ONE_BY_ONE, OURS, RankingWorkload, one_by_one, requests_of
from jaxrec.bench.devices import require_accelerators
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import init_params, param_shapes
from jaxrec.llm.score import Scorer
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.prompts import read_prompt
from jaxrec.ranker.names import ItemTexts
from jaxrec.ranker.prompt_tokens import PromptTokens
from jaxrec.ranker.ranking import rank_by_score
from jaxrec.ranker.tiny_tokenizer import tiny_tokenizer

DESCRIPTION = "50 candidates after a prompt of 512 tokens by a Llama of 7B in bfloat16: together or one by one"
DECODERS = {
    "full": DecoderConfig(32_000, 4096, 11_008, 32, 32, 32, 128, 4096, dtype="bfloat16"),
    "small": DecoderConfig(1024, 32, 48, 1, 4, 4, 8, 1024, dtype="bfloat16"),
}
WORKLOADS = {"full": RankingWorkload(users=1, rows=10), "small": RankingWorkload(99, 6, 96, 12, 1, 3)}
TOLERANCE = 0.02
"""Of a log-probability, against itself: bfloat16 keeps eight bits, and the two forms add in another order."""


def run(settings: Settings) -> dict:
    """Seconds a user, from lists of tokens to an order on the host; random weights."""
    if settings.scale == "full":
        require_accelerators("large_rerank", 1)
    workload, config = WORKLOADS[settings.scale], DECODERS[settings.scale]
    params = jax.block_until_ready(jax.jit(functools.partial(init_params, config))(jax.random.key(0)))
    tokenizer = tiny_tokenizer([read_prompt("sealr_without_sentiment").text])
    prompt = PromptConfig(sentiment=False, history=workload.history, max_tokens=workload.prompt_tokens)
    tokens = PromptTokens(tokenizer, ItemTexts(tuple(str(number + 1) for number in range(workload.catalogue))), prompt)
    requests, endings = requests_of(workload, tokens), (tokens.separator[0], tokens.end)
    scorer = Scorer(params, config, workload.users)
    variants: dict[str, Callable[[], Any]] = {
        OURS: lambda: rank_by_score(scorer, requests, endings),
        ONE_BY_ONE: lambda: one_by_one(params, config, requests[0], endings, workload.rows),
    }
    expected, found = variants[ONE_BY_ONE](), variants[OURS]()[0].scores
    error = float((np.abs(found - expected) / np.abs(expected)).max())
    times = interleave(variants, settings)
    num_tokens = len(requests[0].prompt) + sum(map(len, requests[0].candidates))
    return {
        "unit": "seconds a user",
        "variants": times,
        "ratios": ratios(times, OURS),
        "work": work_entry({OURS: least(config, num_tokens, workload.candidates)}),
        "prompt_tokens": len(requests[0].prompt),
        "largest_relative_difference": error,
        "checks": {"scores equal": error <= TOLERANCE},
    }


def least(config: DecoderConfig, num_tokens: int, candidates: int) -> Work:
    """Prompt and candidates through every layer once, each candidate's logits, and the weights read once."""
    shapes = param_shapes(config)
    layers = sum(leaf.size for leaf in jax.tree.leaves(shapes["layers"]))
    output = config.vocab_size * config.hidden_size
    return Work(2.0 * (layers * num_tokens + output * candidates), 2.0 * (layers + output))
