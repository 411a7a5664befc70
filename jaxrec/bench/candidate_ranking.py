"""A user's 50 candidates put in order after a prompt of 512 tokens: scored together, one by one, or written down."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.prefix_scoring import decoder_of
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.llm.checkpoint import read_checkpoint
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward, init_params, unstack
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.list_mask import longest_list
from jaxrec.llm.score import Scorer
from jaxrec.llm.sharding import place
from jaxrec.llm.tokenizer import Tokenizer
from jaxrec.models.sealr_config import ASKED, PromptConfig
from jaxrec.precompute.prompts import read_prompt
from jaxrec.ranker.examples import Example
from jaxrec.ranker.names import ItemTexts
from jaxrec.ranker.prompt_tokens import PromptTokens
from jaxrec.ranker.ranking import Request, rank_by_generation, rank_by_score
from jaxrec.ranker.tiny_tokenizer import tiny_tokenizer

DESCRIPTION = "50 candidates after a prompt of 512 tokens: together, one by one, as a list under a mask"
OURS, LIST = "jaxrec, scores under the shared prompt", "jaxrec, ten items under the mask"
ONE_BY_ONE, PLAIN = "a prompt for each candidate", "as many tokens of any text"
TOLERANCE = 1e-3
"""Of a log-probability, float32 on any device."""


@dataclasses.dataclass(frozen=True)
class RankingWorkload:
    """catalogue: items, said by number (Beauty has 12,101). users: of a batch; one alone is scored one by one.

    rows: prompts that a candidate each are scored in at once.
    """

    catalogue: int = 12_101
    candidates: int = 50
    prompt_tokens: int = 512
    history: int = 100
    users: int = 8
    rows: int = 10


WORKLOADS = {"full": RankingWorkload(), "small": RankingWorkload(99, 6, 96, 12, 2, 3)}


def run(settings: Settings) -> dict:
    """Seconds a user, from lists of tokens to an order on the host."""
    workload = WORKLOADS[settings.scale]
    config, params, tokenizer = _decoder(settings)
    prompt = PromptConfig(sentiment=False, history=workload.history, max_tokens=workload.prompt_tokens)
    tokens = PromptTokens(tokenizer, ItemTexts(tuple(str(number + 1) for number in range(workload.catalogue))), prompt)
    requests = requests_of(workload, tokens)
    endings = tokens.separator[0], tokens.end
    placed = place(params, config, None)
    scorer = Scorer(placed, config, workload.users)
    generator = Generator(unstack(placed), config, (tokens.end,), workload.users)
    free = dataclasses.replace(generator, stop_tokens=())
    behind = [[(*tokens.separator, *one) for one in request.candidates] for request in requests]
    # As long as the longest list, whatever is said.
    prompts = [
        Prompt(request.prompt, longest_list(request.candidates, nexts, ASKED))
        for request, nexts in zip(requests, behind, strict=True)
    ]
    variants: dict[str, Callable[[], Any]] = {
        OURS: lambda: rank_by_score(scorer, requests, endings),
        LIST: lambda: rank_by_generation(generator, requests, tokens.separator, ASKED),
        ONE_BY_ONE: lambda: one_by_one(placed, config, requests[0], endings, workload.rows),
        PLAIN: lambda: free.generate(prompts),
    }
    expected = variants[ONE_BY_ONE]()
    error = float(np.abs(variants[OURS]()[0].scores - expected).max())
    lists = [ranked.order.tolist() for ranked in variants[LIST]()]
    asked = min(ASKED, workload.candidates)
    # A call does all users but where every candidate has a prompt of its own.
    times = interleave(variants, settings, per=dict.fromkeys((OURS, LIST, PLAIN), workload.users))
    return {
        "unit": "seconds a user",
        "decoder": "random" if settings.checkpoint is None else Path(settings.checkpoint).name,
        "variants": times,
        "ratios": ratios(times, OURS),
        "users_per_second": {name: 1 / one["median"] for name, one in times.items()},
        "prompt_tokens": float(np.mean([len(request.prompt) for request in requests])),
        "largest_difference": error,
        "checks": {
            "scores equal": error <= TOLERANCE,
            "lists of candidates, each once": all(len(set(one)) == len(one) == asked for one in lists),
        },
    }


def _decoder(settings: Settings) -> tuple[DecoderConfig, Params, Tokenizer]:
    """The checkpoint that the command names, else random weights and a tokenizer that has digits."""
    if settings.checkpoint is not None:
        held = read_checkpoint(settings.checkpoint)
        return held.config, held.params, held.tokenizer
    config = dataclasses.replace(decoder_of("full")[0], num_layers=4 if settings.scale == "full" else 1)
    if settings.scale == "small":
        config = dataclasses.replace(config, vocab_size=1024, hidden_size=32, intermediate_size=48, head_dim=8)
    made = jax.jit(init_params, static_argnums=0)(config, jax.random.key(0))
    return config, made, tiny_tokenizer([read_prompt("sealr_without_sentiment").text])


def requests_of(workload: RankingWorkload, tokens: PromptTokens) -> list[Request]:
    """What users with drawn histories are ranked for, each with candidates of its own."""
    rng = np.random.default_rng(0)
    requests = []
    for user in range(workload.users):
        drawn = rng.permutation(workload.catalogue)[: workload.history + workload.candidates].tolist()
        pool = drawn[workload.history :]
        encoded = tokens.encode(Example(user, tuple(drawn[: workload.history]), tuple(pool)))
        requests.append(Request(encoded.prompt, [tokens.item(item) for item in pool]))
    return requests


def one_by_one(
    params: Params, config: DecoderConfig, request: Request, endings: Sequence[int], rows: int
) -> np.ndarray:
    """Scores [C] as `rank_by_score` defines them: the whole prompt again for every candidate."""
    length = max(map(len, request.candidates))
    scores = []
    for start in range(0, len(request.candidates), rows):
        some = request.candidates[start : start + rows]
        tokens = np.zeros((rows, len(request.prompt) + length), np.int32)
        counts = np.ones(rows, np.int32)
        for row, candidate in enumerate(some):
            tokens[row, : len(request.prompt) + len(candidate)] = [*request.prompt, *candidate]
            counts[row] = len(candidate)
        found = _log_probs(params, config, tokens, counts, np.array(endings), length=length)
        scores.append(np.asarray(found)[: len(some)])
    return np.concatenate(scores)


@functools.partial(jax.jit, static_argnames=("config", "length"))
def _log_probs(
    params: Params, config: DecoderConfig, tokens: jax.Array, counts: jax.Array, endings: jax.Array, *, length: int
) -> jax.Array:
    """[B]: of the candidate's tokens behind the prompt, and of one of the endings behind them."""
    first = tokens.shape[1] - length
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None, :], tokens.shape)
    places = jnp.broadcast_to(jnp.arange(first - 1, tokens.shape[1])[None, :], (len(tokens), length + 1))
    logits, _ = forward(params, config, tokens, positions, logits_at=places)
    likely = jax.nn.log_softmax(logits)
    said = jnp.take_along_axis(likely[:, :-1], tokens[:, first:, None], axis=2)[:, :, 0]
    behind = likely[jnp.arange(len(tokens)), counts][:, endings]
    real = jnp.arange(length)[None, :] < counts[:, None]
    return jnp.where(real, said, 0.0).sum(axis=1) + jax.nn.logsumexp(behind, axis=1)
