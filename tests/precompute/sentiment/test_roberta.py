"""The emotion model out of a folder: its numbers, and what is said about folders that do not fit."""

import json

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.roberta import EmotionClassifier, read_emotion_model
from tests.precompute.sentiment import tiny_roberta

TEXTS = [
    "warm soft lamp",
    "",
    "awful rude unheard words " * 9,
    "love",
    "\x00\ud800 </s> <pad> red",
    "warm " * 17,
    "seat love red " * 20_000,
]


def test_probabilities_are_those_of_the_reference(tmp_path):
    held = tiny_roberta.tensors(3)
    model = read_emotion_model(tiny_roberta.write_model(tmp_path / "model", held=held))
    found = EmotionClassifier(model).classify(TEXTS)
    for row, text in enumerate(TEXTS):
        # The tokenizer knows its own special tokens as words; the reference splits at spaces, as it does.
        if row != 4:
            np.testing.assert_allclose(found[row], tiny_roberta.by_hand(text, held), atol=1e-5)
    assert model.emotions == tiny_roberta.LABELS
    # Each text alone gives what it gives among others: padding and its neighbours change nothing.
    np.testing.assert_allclose(found[3:4], EmotionClassifier(model).classify(TEXTS[3:4]), atol=1e-6)


def _config(**changed):
    return tiny_roberta.CONFIG | changed


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (_config(model_type="bert"), "model_type roberta"),
        (_config(vocab_size="12"), "vocab_size '12'"),
        (_config(num_attention_heads=3), "multiple of num_attention_heads"),
        (_config(id2label={"0": "joy"}), "found 1 labels"),
        (_config(id2label=tiny_roberta.CONFIG["id2label"] | {"3": "glee"}), "'glee'"),
        (_config(hidden_act="relu"), "hidden_act gelu"),
        (_config(max_position_embeddings=4), "no room"),
        ([], "model_type roberta"),
    ],
)
def test_a_config_that_does_not_fit_is_named(tmp_path, config, said):
    folder = tiny_roberta.write_model(tmp_path / "model", config=config)
    with pytest.raises(UserError, match=said) as caught:
        read_emotion_model(folder)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json not found"):
        read_emotion_model(tmp_path)
    held = tiny_roberta.tensors()
    del held["classifier.out_proj.bias"]
    folder = tiny_roberta.write_model(tmp_path / "model", held=held)
    with pytest.raises(UserError, match=r"no tensor classifier\.out_proj\.bias"):
        EmotionClassifier(read_emotion_model(folder))
    held = tiny_roberta.tensors() | {"classifier.dense.weight": np.zeros((8, 9), np.float32)}
    folder = tiny_roberta.write_model(tmp_path / "model", held=held)
    with pytest.raises(UserError, match=r"shape \[8, 9\]; \[8, 8\]"):
        EmotionClassifier(read_emotion_model(folder))
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="whole"):
        EmotionClassifier(read_emotion_model(folder))
    tiny_roberta.write_model(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(UserError, match="tokenizer"):
        EmotionClassifier(read_emotion_model(folder)).classify(["warm"])


def test_the_hash_is_of_what_decides_the_answers(tmp_path):
    first = read_emotion_model(tiny_roberta.write_model(tmp_path / "a"))
    same = read_emotion_model(tiny_roberta.write_model(tmp_path / "b"))
    other = read_emotion_model(tiny_roberta.write_model(tmp_path / "c", held=tiny_roberta.tensors(1)))
    assert first.sha256 == same.sha256 != other.sha256
