"""A random RoBERTa classifier of 28 emotions in a folder; its forward pass in NumPy is that of tiny_bert."""

import json

import numpy as np
from safetensors.numpy import save_file
from scipy.special import expit
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from jaxrec.precompute.sentiment.mapping import GO_EMOTIONS
from tests.data import tiny_bert

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
    return tiny_bert.tensors(seed, CONFIG, "roberta.", ("classifier.dense", ("classifier.out_proj", len(LABELS))))


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
    # The first position is that behind the padding token's own: 2.
    x = tiny_bert.hidden_states([0, *words[:30], 2], held, CONFIG, "roberta.", first_position=2)
    pooled = np.tanh(tiny_bert.dense(held, "classifier.dense", x[:1]))
    return expit(tiny_bert.dense(held, "classifier.out_proj", pooled))[0]
