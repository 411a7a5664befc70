"""transformers' Flax Llama as a peer: greedy generation with the parameters of our decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params
from jaxrec.llm.weights import LAYER_NAMES

Generate = Callable[[Any], jax.Array]


def greedy(params: Params, config: DecoderConfig, num_tokens: int) -> Generate:
    """A function from prompts [B, P] int32 to answers [B, num_tokens] int32, compiled once a shape.

    params: of `decoder`, layers stacked, in config.dtype. Their RoPE base is always 10,000, which config must say too;
    their output is a matrix of its own, so a tied one is copied. No token ends an answer.
    """
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_flax_llama import FlaxLlamaForCausalLM

    theirs = LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        max_position_embeddings=config.max_positions,
        rms_norm_eps=config.rms_norm_eps,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=config.vocab_size,
    )
    # Their classes broadcast arrays of different ranks, which a caller may have forbidden.
    with jax.numpy_rank_promotion("allow"):
        model: Any = FlaxLlamaForCausalLM(theirs, dtype=jnp.dtype(config.dtype), _do_init=False)

    @jax.jit
    def generate(params: Params, prompts: jax.Array) -> jax.Array:
        found = model.generate(prompts, params=params, max_new_tokens=num_tokens, do_sample=False)
        return found.sequences[:, prompts.shape[1] :]

    held = jax.device_put(_params(params, config), jax.devices()[0])

    def run(prompts: Any) -> jax.Array:
        with jax.numpy_rank_promotion("allow"):
            return jax.block_until_ready(generate(held, prompts))

    return run


def _params(params: Params, config: DecoderConfig) -> Params:
    """The same numbers in their tree: one subtree a layer, kernels [in, out] as ours."""
    embedding = params["embed"]["embedding"]
    output = embedding.T if config.tied_output else params["output"]["kernel"]
    layers: dict[str, Any] = {}
    for layer in range(config.num_layers):
        tree: dict[str, Any] = {}
        for path, name in LAYER_NAMES.items():
            *modules, kind = path.split("/")
            leaf = params["layers"]
            for part in (*modules, kind):
                leaf = leaf[part]
            inner = tree
            for part in name.split("."):
                inner = inner.setdefault(part, {})
            inner["kernel" if kind == "kernel" else "weight"] = leaf[layer]
        layers[str(layer)] = tree
    norm = {"weight": params["norm"]["scale"]}
    return {
        "model": {"embed_tokens": {"embedding": embedding}, "layers": layers, "norm": norm},
        "lm_head": {"kernel": output},
    }
