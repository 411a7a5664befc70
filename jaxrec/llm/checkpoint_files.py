"""Weights and config of a decoder as Hugging Face writes them: config.json and model.safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params
from jaxrec.llm.weights import LAYER_NAMES, TOP_NAMES, WEIGHTS


def write_weights(folder: Path, config: DecoderConfig, params: Params, stop: int) -> None:
    """Writes what `checkpoint.read_checkpoint` reads, in float32; the tokenizer's files are not among it.

    params: stacked layers, plain. stop: the token that ends an answer. The rotary positions are plain ones.
    """
    from safetensors.numpy import save_file

    held: dict[str, np.ndarray] = {}

    def keep(keys: tuple[Any, ...], leaf: Any) -> None:
        path = "/".join(key.key for key in keys)
        array = np.asarray(leaf, np.float32)
        if path.startswith("layers/"):
            own = LAYER_NAMES[path.removeprefix("layers/")]
            for layer, matrix in enumerate(array):
                held[f"model.layers.{layer}.{own}.weight"] = _for_torch(path, matrix)
        else:
            held[f"{TOP_NAMES[path]}.weight"] = _for_torch(path, array)

    jax.tree_util.tree_map_with_path(keep, params)
    described = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.rms_norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied_output,
        "eos_token_id": stop,
        "torch_dtype": "float32",
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(held, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _for_torch(path: str, matrix: np.ndarray) -> np.ndarray:
    """Kernels [in, out] as PyTorch's linear layers lay them out: [out, in]."""
    return np.ascontiguousarray(matrix.T if path.endswith("kernel") else matrix)
