"""A random Llama as a GGUF file, with queries and keys permuted as such files have them."""

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize

from tests.llm.tiny_llama import CONFIG, tensors

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
# Quantised rows are blocks of 32.
WIDE = CONFIG | {"hidden_size": 32, "intermediate_size": 64}


def permuted(matrix, heads):
    """Row i + j * half of a head moves to 2 i + j."""
    size = len(matrix) // heads
    moved = np.empty_like(matrix)
    for head in range(heads):
        for pair in range(size // 2):
            for half in range(2):
                moved[head * size + 2 * pair + half] = matrix[head * size + half * (size // 2) + pair]
    return moved


def write_gguf(path, config=WIDE, held=None, kind="F32", fields=(), extra=(), without=(), vocabulary=None):
    """The file. kind: type of the matrices. fields: (name, value) instead of or beside the usual ones, None leaves one
    out; extra: further tensors; without: tensors left out; vocabulary: writes the tokenizer's fields."""
    held = tensors(config) if held is None else held
    writer = GGUFWriter(path, "llama")
    usual = {
        "llama.block_count": config["num_hidden_layers"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "llama.rope.freq_base": config["rope_theta"],
    }
    for name, value in (usual | dict(fields)).items():
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif value is not None:
            writer.add_uint32(name, value)
    if vocabulary is not None:
        vocabulary(writer)
    for name, values in held.items():
        module = name.removesuffix(".weight")
        prefix = ""
        if module.startswith("model.layers."):
            layer, _, module = module.removeprefix("model.layers.").partition(".")
            prefix = f"blk.{layer}."
        theirs = f"{prefix}{NAMES[module]}.weight"
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(NAMES[module])
        if heads is not None:
            values = permuted(values, config[heads])
        if theirs in without:
            continue
        if values.ndim == 1:
            writer.add_tensor(theirs, values)
        else:
            of = GGMLQuantizationType[kind]
            writer.add_tensor(theirs, quantize(values, of), raw_dtype=of)
    for name, values in extra:
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
