"""A random RoBERTa classifier of 28 emotions in a folder, and its forward pass in NumPy."""

import json

import numpy as np
from safetensors.numpy import save_file
from scipy.special import erf, expit
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from jaxrec.precompute.sentiment.mapping import GO_EMOTIONS

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "warm", "soft", "awful", "seat", "love", "lamp", "rude", "red")
# The order of the labels is the checkpoint's own.
LABELS = GO_EMOTIONS[5:] + GO_EMOTIONS[:5]
CONFIG = {
    "model_type": "roberta",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 34,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "id2label": {str(place): label for place, label in enumerate(LABELS)},
    "problem_type": "multi_label_classification",
}


def tensors(seed=0):
    """Random weights under PyTorch's names."""
    rng = np.random.default_rng(seed)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]

    def normal(*shape):
        return rng.normal(0, 0.5, shape).astype(np.float32)

    def dense(name, out, into):
        return {f"{name}.weight": normal(out, into), f"{name}.bias": normal(out)}

    def norm(name):
        return {f"{name}.LayerNorm.weight": 1 + normal(width), f"{name}.LayerNorm.bias": normal(width)}

    held = {
        "roberta.embeddings.word_embeddings.weight": normal(CONFIG["vocab_size"], width),
        "roberta.embeddings.position_embeddings.weight": normal(CONFIG["max_position_embeddings"], width),
        "roberta.embeddings.token_type_embeddings.weight": normal(1, width),
        **norm("roberta.embeddings"),
        **dense("classifier.dense", width, width),
        **dense("classifier.out_proj", 28, width),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        name = f"roberta.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            held |= dense(f"{name}.attention.self.{part}", width, width)
        held |= dense(f"{name}.attention.output.dense", width, width) | norm(f"{name}.attention.output")
        held |= dense(f"{name}.intermediate.dense", inner, width)
        held |= dense(f"{name}.output.dense", width, inner) | norm(f"{name}.output")
    return held


def write_model(folder, *, held=None, config=CONFIG):
    """The folder itself, made with all its files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors() if held is None else held, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def by_hand(text, held):
    """Probabilities [28] of one text in float64, without padding."""
    words = [WORDS.index(word) if word in WORDS else 3 for word in text.lower().split()]
    ids = [0, *words[:30], 2]

    def dense(name, x):
        return x @ held[f"{name}.weight"].astype(np.float64).T + held[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + CONFIG["layer_norm_eps"])
        return scaled * held[f"{name}.LayerNorm.weight"] + held[f"{name}.LayerNorm.bias"]

    embeddings = held["roberta.embeddings.word_embeddings.weight"][ids].astype(np.float64)
    # The first position is that behind the padding token's own: 2.
    embeddings = embeddings + held["roberta.embeddings.position_embeddings.weight"][2 : 2 + len(ids)]
    x = norm("roberta.embeddings", embeddings + held["roberta.embeddings.token_type_embeddings.weight"][0])
    size = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    for layer in range(CONFIG["num_hidden_layers"]):
        name = f"roberta.encoder.layer.{layer}"
        query, key, value = (dense(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        heads = []
        for start in range(0, CONFIG["hidden_size"], size):
            one = slice(start, start + size)
            scores = np.exp(query[:, one] @ key[:, one].T / np.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, one])
        x = norm(f"{name}.attention.output", x + dense(f"{name}.attention.output.dense", np.hstack(heads)))
        inner = dense(f"{name}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(f"{name}.output", x + dense(f"{name}.output.dense", inner))
    return expit(dense("classifier.out_proj", np.tanh(dense("classifier.dense", x[:1]))))[0]
