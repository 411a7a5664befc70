"""Greedy answers of a decoder of SmolLM2-135M's shape, against transformers' Flax Llama with the same weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.bandwidth import PASSES, readers
from jaxrec.bench.peers.flax_llama import greedy
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, param_shapes, unstack
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.sharding import place

DESCRIPTION = "64 tokens after prompts of 64, batch 1 and 8, by a Llama of 135M parameters against transformers' Flax"
OURS, PEER = "jaxrec", "transformers"


@dataclasses.dataclass(frozen=True)
class GenerationWorkload:
    """SmolLM2-135M, with the RoPE base that transformers' Flax classes have and no other."""

    decoder: DecoderConfig = dataclasses.field(
        default_factory=lambda: DecoderConfig(
            vocab_size=49_152,
            hidden_size=576,
            intermediate_size=1536,
            num_layers=30,
            num_heads=9,
            num_kv_heads=3,
            head_dim=64,
            max_positions=2048,
            rope_base=10_000.0,
            tied_output=True,
        )
    )
    prompt_length: int = 64
    num_tokens: int = 64
    batch_sizes: tuple[int, ...] = (1, 8)
    read_bytes: int = 1 << 29


TINY = DecoderConfig(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
    max_positions=128,
    tied_output=True,
)
WORKLOADS = {"full": GenerationWorkload(), "small": GenerationWorkload(TINY, 32, 16, (1, 2), 1 << 20)}


def run(settings: Settings) -> dict:
    """Seconds an answer of all rows, prompt included; tokens a second; how near that is to reading memory alone."""
    workload, on_cpu = WORKLOADS[settings.scale], jax.default_backend() == "cpu"
    params = random_params(workload.decoder)
    # Equal tokens are asked for in float32; an accelerator is measured in the type that it is used with.
    with jax.default_matmul_precision(None if on_cpu else "highest"):
        variants = make_variants(workload, params)
        agreement = {size: agreed(variants, size) for size in workload.batch_sizes}
    if not on_cpu:
        workload = dataclasses.replace(workload, decoder=dataclasses.replace(workload.decoder, dtype="bfloat16"))
        variants = make_variants(workload, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params))
    reading = readers(workload.read_bytes)
    times = interleave(variants | reading, settings)
    read = PASSES * workload.read_bytes
    limit = {kind: max(read / times[name][kind] for name in reading) for kind in ("median", "min")}
    checks = {f"batch {size}: same tokens": share == 1 for size, share in agreement.items()}
    faster, speeds, shares = {}, {}, {}
    for size in workload.batch_sizes:
        ours, peer = (f"{name}, batch {size}" for name in (OURS, PEER))
        faster |= ratios({name: times[name] for name in (ours, peer)}, ours)
        for name in (ours, peer):
            speeds[name] = size * workload.num_tokens / times[name]["median"]
            needed = answer_bytes(workload, size)
            shares[name] = {kind: needed / times[name][kind] / limit[kind] for kind in limit}
    if settings.scale == "full":
        # Weights that a cache holds may be read faster; here nothing can pass the limit, or it was measured badly.
        checks["no share of the bandwidth above 1"] = all(max(share.values()) <= 1 for share in shares.values())
    return {
        "unit": "seconds an answer",
        "dtype": workload.decoder.dtype,
        "variants": times,
        "work": work_entry({f"{OURS}, batch {size}": answer_work(workload, size) for size in workload.batch_sizes}),
        "ratios": faster,
        "tokens_per_second": speeds,
        "read_bytes_per_second": limit,
        "share_of_bandwidth": shares,
        "equal_tokens": agreement,
        "checks": checks,
    }


def make_variants(workload: GenerationWorkload, params: Params) -> dict[str, Callable[[], Any]]:
    """Each returns its answers as lists; ours runs as the local backend does, layers one by one."""
    config = workload.decoder
    generator = Generator(unstack(place(params, config, None)), config, (), max(workload.batch_sizes))
    peer = greedy(params, config, workload.num_tokens)
    rng = np.random.default_rng(0)
    variants: dict[str, Callable[[], Any]] = {}
    for size in workload.batch_sizes:
        tokens = rng.integers(0, config.vocab_size, (size, workload.prompt_length), np.int32)
        prompts = [Prompt(row, workload.num_tokens) for row in tokens.tolist()]
        variants[f"{OURS}, batch {size}"] = lambda prompts=prompts: [
            answer.tokens for answer in generator.generate(prompts)
        ]
        variants[f"{PEER}, batch {size}"] = lambda tokens=tokens: np.asarray(peer(tokens)).tolist()
    return variants


def agreed(variants: dict[str, Callable[[], Any]], size: int) -> float:
    """The share of tokens that are the same in both answers of a batch size."""
    ours, peer = (np.asarray(variants[f"{name}, batch {size}"]()) for name in (OURS, PEER))
    return float((ours == peer).mean())


def random_params(config: DecoderConfig) -> Params:
    """Stacked parameters, float32, under which a token depends on all before it.

    With small kernels and an output tied to the embeddings every token would only repeat the last one.
    """
    rng = np.random.default_rng(0)

    def fill(path: tuple[Any, ...], wanted: jax.ShapeDtypeStruct) -> np.ndarray:
        name = path[-1].key
        if name == "scale":
            return np.ones(wanted.shape, np.float32)
        spread = 0.02 if name == "embedding" else wanted.shape[-2] ** -0.5
        return spread * rng.standard_normal(wanted.shape, np.float32)

    return jax.tree_util.tree_map_with_path(fill, param_shapes(config))


def answer_work(workload: GenerationWorkload, batch_size: int) -> Work:
    """The least of an answer: what it must read, and the products of prompt and answer with all weights."""
    weights = sum(leaf.size for leaf in jax.tree.leaves(param_shapes(workload.decoder)))
    tokens = batch_size * (workload.prompt_length + workload.num_tokens)
    return Work(2.0 * weights * tokens, answer_bytes(workload, batch_size))


def answer_bytes(workload: GenerationWorkload, batch_size: int) -> float:
    """Bytes that an answer must at least read: for each token every weight, and the keys and values held so far."""
    config = workload.decoder
    width = jnp.dtype(config.dtype).itemsize
    weights = sum(leaf.size for leaf in jax.tree.leaves(param_shapes(config))) * width
    held = workload.prompt_length + workload.num_tokens / 2
    cache = 2 * config.num_layers * config.num_kv_heads * config.head_dim * batch_size * held * width
    return workload.num_tokens * (weights + cache)
