"""Scores of 20 candidates of four tokens under one prompt of 256: the prompt once, or again for every candidate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, forward, init_params, param_shapes
from jaxrec.llm.score import Candidates, Scorer

DESCRIPTION = (
    "a Llama of 4 layers scores 20 candidates x 4 tokens after a prompt of 256: shared prompt or one prompt each"
)
OURS, SINGLE, PLAIN = "jaxrec", "jaxrec, one token each", "a prompt for each candidate"
TOLERANCE = 1e-4
NUM_CANDIDATES, CANDIDATE_LENGTH = 20, 4
REQUESTS = 8
"""Of our forms in each repetition."""


def run(settings: Settings) -> dict:
    """Seconds a request, from lists of tokens to scores on the host."""
    config, prompt_length = decoder_of(settings.scale)
    params = init_params(config, jax.random.key(0))
    rng = np.random.default_rng(0)
    prompt = rng.integers(0, config.vocab_size, prompt_length)
    candidates = rng.integers(0, config.vocab_size, (NUM_CANDIDATES, CANDIDATE_LENGTH))
    # Candidates that began alike would be computed once and flatter the figure.
    candidates[:, 0] = rng.permutation(config.vocab_size)[:NUM_CANDIDATES]
    scorer = Scorer(params, config)
    request = Candidates(prompt.tolist(), candidates.tolist())
    single = Candidates(prompt.tolist(), candidates[:, :1].tolist())
    variants: dict[str, Callable[[], Any]] = {
        OURS: lambda: scorer.score([request])[0].total,
        SINGLE: lambda: scorer.score([single])[0].total,
        PLAIN: lambda: _each_alone(params, config, prompt, candidates),
    }
    expected = _each_alone(params, config, prompt, candidates)
    errors = {
        OURS: np.abs(variants[OURS]() - expected.sum(axis=1)).max(),
        SINGLE: np.abs(variants[SINGLE]() - expected[:, 0]).max(),
    }
    # One after another, as users are ranked: 25 ms alone say more of the machine than of what is measured.
    repeated = {name: functools.partial(_several, call) for name, call in variants.items() if name != PLAIN}
    times = interleave(variants | repeated, settings, per=dict.fromkeys(repeated, REQUESTS))
    faster = ratios(times, OURS)
    checks = {f"{name}: scores equal": bool(error <= TOLERANCE) for name, error in errors.items()}
    return {
        "unit": "seconds a request",
        "variants": times,
        "work": work_entry(request_work(config, prompt_length)),
        "ratios": faster,
        "ratios_one_token": {PLAIN: ratios(times, SINGLE)[PLAIN]},
        "largest_difference": {name: float(error) for name, error in errors.items()},
        "checks": checks,
    }


def _several(call: Callable[[], Any]) -> None:
    for _ in range(REQUESTS):
        call()


def request_work(config: DecoderConfig, prompt_length: int) -> dict[str, Work]:
    """The least of a request: the prompt once, three further tokens a candidate where it has four; weights read once.

    Attention is left out: of a prompt this short it is a few hundredths. Scores are of the prompt's last token and of
    each further one.
    """
    shapes = jax.tree_util.tree_leaves_with_path(param_shapes(config))
    sizes = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.size for path, leaf in shapes}
    output = config.vocab_size * config.hidden_size
    layers = sum(size for name, size in sizes.items() if name.startswith("layers"))
    found = {}
    for name, further in ((OURS, NUM_CANDIDATES * (CANDIDATE_LENGTH - 1)), (SINGLE, 0)):
        operations = 2.0 * (layers * (prompt_length + further) + output * (1 + further))
        found[name] = Work(operations, 4.0 * (layers + output))
    return found


def decoder_of(scale: str) -> tuple[DecoderConfig, int]:
    """The decoder and the length of the prompt."""
    width, layers, prompt_length = (256, 4, 256) if scale == "full" else (32, 2, 20)
    config = DecoderConfig(
        vocab_size=4096 if scale == "full" else 64,
        hidden_size=width,
        intermediate_size=43 * width // 16,
        num_layers=layers,
        num_heads=4,
        num_kv_heads=4,
        head_dim=width // 4,
        max_positions=1024,
    )
    return config, prompt_length


def _each_alone(params: Params, config: DecoderConfig, prompt: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Log-probabilities [C, 4]: one batch with the whole prompt in every row, logits for the candidates alone."""
    prompts = np.tile(prompt, (len(candidates), 1))
    tokens = np.concatenate([prompts, candidates[:, :-1]], axis=1).astype(np.int32)
    return np.asarray(_log_probs(params, config, tokens, candidates.astype(np.int32)))


@functools.partial(jax.jit, static_argnames="config")
def _log_probs(params: Params, config: DecoderConfig, tokens: jax.Array, candidates: jax.Array) -> jax.Array:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None, :], tokens.shape)
    first = tokens.shape[1] - candidates.shape[1]
    places = jnp.broadcast_to(first + jnp.arange(candidates.shape[1])[None, :], candidates.shape)
    logits, _ = forward(params, config, tokens, positions, logits_at=places)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), candidates[:, :, None], axis=2)[:, :, 0]
