"""Logits of transformers' Flax Llama for tensors under PyTorch's names."""

import jax
import jax.numpy as jnp


def flax_llama_logits(shape, held, ids):
    """[T, V] of one sequence; shape: a config.json with as many key as query heads and a RoPE base of 10,000."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_flax_llama import FlaxLlamaForCausalLMModule

    ids = jnp.asarray(ids, jnp.int32)[None]
    module = FlaxLlamaForCausalLMModule(LlamaConfig(**shape))

    def filled(path, wanted):
        parts = [key.key for key in path]
        name = ".".join(["weight" if part in ("kernel", "embedding") else part for part in parts])
        return (held[name].T if parts[-1] == "kernel" else held[name]).reshape(wanted.shape)

    with jax.numpy_rank_promotion("allow"):
        arguments = (ids, jnp.ones_like(ids), jnp.arange(ids.shape[1])[None])
        wanted = jax.eval_shape(module.init, jax.random.key(0), *arguments)["params"]
        theirs = jax.tree_util.tree_map_with_path(filled, wanted)
        return module.apply({"params": theirs}, *arguments).logits[0]
