"""A random CLIP in a folder, and its forward pass in NumPy."""

import json

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ("<unk>", "red", "blue", "lamp", "seat", "warm", "soft", "glass", "<start>", "<end>")
START, END = 8, 9
TEXT = {
    "vocab_size": len(WORDS), "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 20, "eos_token_id": END,
}  # fmt: skip
VISION = {
    "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip
WIDTH = 6
CONFIG = {"model_type": "clip", "text_config": TEXT, "vision_config": VISION, "projection_dim": WIDTH}
PREPARATION = {
    "size": {"shortest_edge": 10},
    "crop_size": {"height": 8, "width": 8},
    "resample": 3,
    "do_resize": True,
    "do_center_crop": True,
    "do_normalize": True,
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.25, 0.27],
}


def tensors(seed=0):
    """Random weights under PyTorch's names."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(0, 0.4, shape).astype(np.float32)

    def dense(name, out, into):
        return {f"{name}.weight": normal(out, into), f"{name}.bias": normal(out)}

    def norm(name, width):
        return {f"{name}.weight": 1 + normal(width), f"{name}.bias": normal(width)}

    def encoder(name, part):
        held, width = {}, part["hidden_size"]
        for layer in range(part["num_hidden_layers"]):
            here = f"{name}.encoder.layers.{layer}"
            for kind in ("q_proj", "k_proj", "v_proj", "out_proj"):
                held |= dense(f"{here}.self_attn.{kind}", width, width)
            held |= dense(f"{here}.mlp.fc1", part["intermediate_size"], width)
            held |= dense(f"{here}.mlp.fc2", width, part["intermediate_size"])
            held |= norm(f"{here}.layer_norm1", width) | norm(f"{here}.layer_norm2", width)
        return held

    return {
        "text_model.embeddings.token_embedding.weight": normal(TEXT["vocab_size"], 8),
        "text_model.embeddings.position_embedding.weight": normal(TEXT["max_position_embeddings"], 8),
        "text_model.embeddings.position_ids": np.arange(20, dtype=np.int64)[None],  # as old files have it
        **norm("text_model.final_layer_norm", 8),
        **encoder("text_model", TEXT),
        "vision_model.embeddings.class_embedding": normal(12),
        "vision_model.embeddings.patch_embedding.weight": normal(12, 3, 4, 4),
        "vision_model.embeddings.position_embedding.weight": normal(5, 12),
        **norm("vision_model.pre_layrnorm", 12),
        **norm("vision_model.post_layernorm", 12),
        **encoder("vision_model", VISION),
        "text_projection.weight": normal(WIDTH, 8),
        "visual_projection.weight": normal(WIDTH, 12),
        "logit_scale": np.array(2.6, np.float32),
    }


def write_clip(folder, *, held=None, config=CONFIG, preparation=PREPARATION):
    """The folder itself, made with all its files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    save_file(tensors() if held is None else held, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("<end>", END), ("<start>", START), trim_offsets=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _dense(held, name, x):
    return x @ held[f"{name}.weight"].astype(np.float64).T + held[f"{name}.bias"]


def _norm(held, name, x):
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return scaled * held[f"{name}.weight"] + held[f"{name}.bias"]


def _encode(held, name, part, x, causal):
    size = part["hidden_size"] // part["num_attention_heads"]
    for layer in range(part["num_hidden_layers"]):
        here = f"{name}.encoder.layers.{layer}"
        y = _norm(held, f"{here}.layer_norm1", x)
        query, key, value = (_dense(held, f"{here}.self_attn.{kind}_proj", y) for kind in "qkv")
        heads = []
        for start in range(0, part["hidden_size"], size):
            one = slice(start, start + size)
            scores = np.exp(query[:, one] @ key[:, one].T / np.sqrt(size))
            if causal:
                scores = np.tril(scores)
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, one])
        x = x + _dense(held, f"{here}.self_attn.out_proj", np.hstack(heads))
        inner = _dense(held, f"{here}.mlp.fc1", _norm(held, f"{here}.layer_norm2", x))
        x = x + _dense(held, f"{here}.mlp.fc2", inner / (1 + np.exp(-1.702 * inner)))
    return x


def text_by_hand(text, held):
    """One text in float64, without padding: [WIDTH], of length 1."""
    ids = [START, *[WORDS.index(word) if word in WORDS else 0 for word in text.lower().split()][:18], END]
    x = held["text_model.embeddings.token_embedding.weight"][ids].astype(np.float64)
    x = x + held["text_model.embeddings.position_embedding.weight"][: len(ids)]
    x = _norm(held, "text_model.final_layer_norm", _encode(held, "text_model", TEXT, x, causal=True))
    vector = held["text_projection.weight"] @ x[-1]
    return vector / np.linalg.norm(vector)


def image_by_hand(pixels, held):
    """One picture [8, 8, 3] in float64: [WIDTH], of length 1."""
    kernel = held["vision_model.embeddings.patch_embedding.weight"].astype(np.float64)
    patches = [
        np.einsum("hwc,ochw->o", pixels[top : top + 4, left : left + 4].astype(np.float64), kernel)
        for top in (0, 4)
        for left in (0, 4)
    ]
    x = np.stack([held["vision_model.embeddings.class_embedding"], *patches])
    x = x + held["vision_model.embeddings.position_embedding.weight"]
    x = _encode(held, "vision_model", VISION, _norm(held, "vision_model.pre_layrnorm", x), causal=False)
    vector = held["visual_projection.weight"] @ _norm(held, "vision_model.post_layernorm", x[:1])[0]
    return vector / np.linalg.norm(vector)
