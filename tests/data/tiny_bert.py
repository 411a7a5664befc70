"""A random BERT in a folder, as sentence-transformers writes one, and the forward pass of its family in NumPy."""

import json

import numpy as np
from safetensors.numpy import save_file
from scipy.special import erf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "warm", "soft", "light", "seat", "glass", "lamp", "blue", "red")
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


def tensors(seed=0, config=CONFIG, prefix="", heads=("pooler.dense",)):
    """Random weights under PyTorch's names. prefix: before all but the heads, which are (name, out) or a name."""
    rng = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]

    def normal(*shape):
        return rng.normal(0, 0.5, shape).astype(np.float32)

    def linear(name, out, into):
        return {f"{name}.weight": normal(out, into), f"{name}.bias": normal(out)}

    def norm(name):
        return {f"{name}.LayerNorm.weight": 1 + normal(width), f"{name}.LayerNorm.bias": normal(width)}

    tables = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    held = {
        f"{prefix}embeddings.{name}_embeddings.weight": normal(config[size], width) for name, size in tables.items()
    }
    held |= norm(f"{prefix}embeddings")
    for head in heads:
        name, out = (head, width) if isinstance(head, str) else head
        held |= linear(name, out, width)
    for layer in range(config["num_hidden_layers"]):
        name = f"{prefix}encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            held |= linear(f"{name}.attention.self.{part}", width, width)
        held |= linear(f"{name}.attention.output.dense", width, width) | norm(f"{name}.attention.output")
        held |= linear(f"{name}.intermediate.dense", inner, width)
        held |= linear(f"{name}.output.dense", width, inner) | norm(f"{name}.output")
    return held


def write_encoder(folder, *, held=None, config=CONFIG, pooling="mean_tokens", normalize=True, max_length=None):
    """The folder itself, made with all its files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors() if held is None else held, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # What real folders hold: padding and truncation of their own, which must not count.
    tokenizer.enable_padding(length=20)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(folder / "tokenizer.json"))
    if max_length is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_length}))
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalize
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{place}_{kind}" if place else ""}
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name == pooling for name in ("mean_tokens", "cls_token", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8} | modes))
    return folder


def dense(held, name, x):
    """One linear layer in float64."""
    return x @ held[f"{name}.weight"].astype(np.float64).T + held[f"{name}.bias"]


def hidden_states(ids, held, config=CONFIG, prefix="", first_position=0):
    """The last layer of one text's tokens in float64, without padding: [len(ids), D]."""

    def norm(name, x):
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + config["layer_norm_eps"])
        return scaled * held[f"{name}.LayerNorm.weight"] + held[f"{name}.LayerNorm.bias"]

    table = f"{prefix}embeddings"
    embeddings = held[f"{table}.word_embeddings.weight"][ids].astype(np.float64)
    embeddings = embeddings + held[f"{table}.position_embeddings.weight"][first_position : first_position + len(ids)]
    x = norm(table, embeddings + held[f"{table}.token_type_embeddings.weight"][0])
    size = config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        name = f"{prefix}encoder.layer.{layer}"
        query, key, value = (dense(held, f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        heads = []
        for start in range(0, config["hidden_size"], size):
            one = slice(start, start + size)
            scores = np.exp(query[:, one] @ key[:, one].T / np.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, one])
        x = norm(f"{name}.attention.output", x + dense(held, f"{name}.attention.output.dense", np.hstack(heads)))
        inner = dense(held, f"{name}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(f"{name}.output", x + dense(held, f"{name}.output.dense", inner))
    return x


def by_hand(text, held, config=CONFIG, pooling="mean_tokens", normalize=True, max_length=40):
    """One text through the encoder in float64, without padding: [D]."""
    words = [WORDS.index(word) if word in WORDS else 1 for word in text.lower().split()]
    x = hidden_states([2, *words[: max_length - 2], 3], held, config)
    vector = x[0] if pooling == "cls_token" else x.mean(axis=0)
    return vector / np.linalg.norm(vector) if normalize else vector
