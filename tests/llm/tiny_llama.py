"""A random Llama in a folder, as Hugging Face writes one, and its forward pass in NumPy."""

import json

import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def tensors(config=CONFIG, seed=0):
    """Random weights under PyTorch's names, large enough that every part shows in the logits."""
    rng = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    size = config.get("head_dim") or width // config["num_attention_heads"]
    queries, keys = (config[f"num_{name}_heads"] * size for name in ("attention", "key_value"))

    def normal(*shape):
        return rng.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)

    def scale():
        return rng.uniform(0.5, 1.5, width).astype(np.float32)

    held = {"model.embed_tokens.weight": rng.normal(0, 1, (config["vocab_size"], width)).astype(np.float32)}
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        held |= {
            f"{name}.input_layernorm.weight": scale(),
            f"{name}.self_attn.q_proj.weight": 2 * normal(queries, width),
            f"{name}.self_attn.k_proj.weight": 2 * normal(keys, width),
            f"{name}.self_attn.v_proj.weight": normal(keys, width),
            f"{name}.self_attn.o_proj.weight": normal(width, queries),
            f"{name}.post_attention_layernorm.weight": scale(),
            f"{name}.mlp.gate_proj.weight": normal(inner, width),
            f"{name}.mlp.up_proj.weight": normal(inner, width),
            f"{name}.mlp.down_proj.weight": normal(width, inner),
        }
    held["model.norm.weight"] = scale()
    if not config.get("tie_word_embeddings"):
        held["lm_head.weight"] = normal(config["vocab_size"], width)
    return held


def write_folder(folder, config=CONFIG, held=None, shards=1):
    """The folder with config.json and its tensors in one file or several."""
    folder.mkdir(parents=True, exist_ok=True)
    held = tensors(config) if held is None else held
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(held, folder / "model.safetensors")
        return folder
    names, weight_map = sorted(held), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard::shards]
        save_file({name: held[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def frequencies_by_hand(config):
    """Radians a position, one pair after the other; the scalings as transformers' documentation words them."""
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    scaling = config.get("rope_scaling") or {"rope_type": "default"}
    found = []
    for pair in range(size // 2):
        frequency = config["rope_theta"] ** (-2 * pair / size)
        if scaling["rope_type"] == "linear":
            frequency /= scaling["factor"]
        if scaling["rope_type"] == "llama3":
            original = scaling["original_max_position_embeddings"]
            wavelength = 2 * np.pi / frequency
            if wavelength > original / scaling["low_freq_factor"]:
                frequency /= scaling["factor"]
            elif wavelength >= original / scaling["high_freq_factor"]:
                low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
                smooth = (original / wavelength - low) / (high - low)
                frequency = (1 - smooth) * frequency / scaling["factor"] + smooth * frequency
        found.append(frequency)
    return np.array(found)


def logits_by_hand(ids, held, config=CONFIG):
    """Logits [T, V] of one sequence in float64, head by head."""
    held = {name: values.astype(np.float64) for name, values in held.items()}
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    length = len(ids)
    turns = np.exp(1j * np.arange(length)[:, None] * frequencies_by_hand(config))

    def norm(x, name):
        return x / np.sqrt((x**2).mean(1, keepdims=True) + config["rms_norm_eps"]) * held[f"{name}.weight"]

    def turned(x):
        # A pair is a complex number, and its position turns it.
        pairs = (x[:, : size // 2] + 1j * x[:, size // 2 :]) * turns
        return np.hstack([pairs.real, pairs.imag])

    x = held["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}"
        y = norm(x, f"{name}.input_layernorm")
        query, key, value = (y @ held[f"{name}.self_attn.{part}_proj.weight"].T for part in "qkv")
        outputs = []
        for head in range(heads):
            own, group = (slice(n * size, (n + 1) * size) for n in (head, head * kv_heads // heads))
            scores = turned(query[:, own]) @ turned(key[:, group]).T / np.sqrt(size)
            scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
            weights = np.exp(scores - scores.max(1, keepdims=True))
            outputs.append(weights / weights.sum(1, keepdims=True) @ value[:, group])
        x = x + np.hstack(outputs) @ held[f"{name}.self_attn.o_proj.weight"].T
        y = norm(x, f"{name}.post_attention_layernorm")
        gate = y @ held[f"{name}.mlp.gate_proj.weight"].T
        up = y @ held[f"{name}.mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ held[f"{name}.mlp.down_proj.weight"].T
    output = held["model.embed_tokens.weight" if config.get("tie_word_embeddings") else "lm_head.weight"]
    return norm(x, "model.norm") @ output.T
