"""Vectors of a sentence encoder: equal to BERT in NumPy, made once, hashed by what they are made of."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxrec.data.dataset import Dataset
from jaxrec.data.sentence_encoder import encode, read_encoder
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from tests.data.making import interactions
from tests.data.tiny_bert import CONFIG, by_hand, tensors, write_encoder

RAW = (["ann", "bob", "eve"], ["lamp", "sofa", "rug", "vase"])
TEXTS = ("Warm light", "soft warm seat", " ", "soft light glass nobody knows")
LONG = ("lamp", "red blue", "seat " * 15, "warm soft " * 12, "glass red " * 40)


def dataset(item_text=TEXTS, train=((0, 0), (0, 1), (1, 3), (2, 2)), sha256="d" * 64):
    train, valid, test = (interactions(pairs, raw=RAW) for pairs in (train, (), ((1, 0), (2, 1))))
    return Dataset("home", "path", train, valid, test, sha256, {}, item_text)


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "encoder")


def features(folder, tmp_path, data=None, notice=lambda _: None, **settings):
    return load_text(TextConfig(encoder=str(folder), **settings), data or dataset(), str(tmp_path / "cache"), notice)


def refused(folder, **settings):
    with pytest.raises(UserError) as caught:
        load_text(TextConfig(encoder=str(folder), **settings), dataset(), str(folder.parent / "cache"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What it computes


@pytest.mark.parametrize(
    ("pooling", "normalize", "max_length"), [("mean_tokens", True, None), ("cls_token", False, 20)]
)
def test_vectors_are_those_of_bert_by_hand(tmp_path, pooling, normalize, max_length):
    settings = {"pooling": pooling, "normalize": normalize, "max_length": max_length}
    encoder = read_encoder(write_encoder(tmp_path / "e", **settings))
    texts = [text for text in TEXTS if text.strip()] + list(LONG)
    vectors = encode(encoder, texts, lambda _: None)
    assert vectors.dtype == np.float32
    expected = [by_hand(text, tensors(), **settings | {"max_length": max_length or 40}) for text in texts]
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


def test_weights_of_a_model_with_a_head_have_a_prefix(tmp_path, folder):
    held = {f"bert.{name}": values for name, values in tensors().items()} | {"cls.bias": np.zeros(3, np.float32)}
    other = write_encoder(tmp_path / "other", held=held)
    first, second = (encode(read_encoder(place), LONG, lambda _: None) for place in (folder, other))
    np.testing.assert_array_equal(first, second)


def test_features_follow_items_and_training_users(tmp_path, folder):
    made = features(folder, tmp_path)
    assert made.source == "encoder"
    np.testing.assert_array_equal(made.item_mask, [True, True, False, True])
    np.testing.assert_array_equal(made.user_mask, [True, True, False])
    assert not made.item[2].any()
    one, two = (by_hand(text, tensors()) for text in TEXTS[:2])
    np.testing.assert_allclose(made.item[0], one, atol=2e-5)
    np.testing.assert_allclose(made.user[0], (one + two) / np.linalg.norm(one + two), atol=2e-5)


def test_cut_to_the_first_columns(tmp_path, folder):
    made = features(folder, tmp_path, truncate_dim=3)
    assert made.item.shape == (4, 3)
    whole = by_hand(TEXTS[0], tensors())[:3]
    np.testing.assert_allclose(made.item[0], whole / np.linalg.norm(whole), atol=1e-4)
    assert made.sha256 != features(folder, tmp_path).sha256
    assert "at most 8" in refused(folder, truncate_dim=9)


# Made once


def test_second_run_reads_what_the_first_kept(tmp_path, folder, monkeypatch):
    first = features(folder, tmp_path)
    monkeypatch.setattr("jaxrec.data.text_encoder.encode", None)
    lines = []
    # Another split and another cut of the same texts are served by the same vectors.
    second = features(folder, tmp_path, dataset(train=((0, 3), (1, 0))), lines.append)
    np.testing.assert_array_equal(first.item, second.item)
    assert "using encoded texts" in lines[-1]
    features(folder, tmp_path, truncate_dim=2)
    shuffled = features(folder, tmp_path, shuffle=True)
    assert not np.array_equal(first.item, shuffled.item)
    np.testing.assert_array_equal(np.sort(first.item, axis=0), np.sort(shuffled.item, axis=0))


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_cache_is_made_anew(tmp_path, folder, damage):
    first = features(folder, tmp_path)
    (kept,) = (tmp_path / "cache").glob("encoded-*")
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-5])
    else:
        content = bytearray(kept.read_bytes())
        content[-1] ^= 1
        kept.write_bytes(content)
    lines = []
    second = features(folder, tmp_path, notice=lines.append)
    np.testing.assert_array_equal(first.item, second.item)
    assert "anew" in lines[0]
    lines.clear()
    features(folder, tmp_path, notice=lines.append)
    assert len(lines) == 1


def test_an_unwritable_cache_is_told(tmp_path, folder):
    (tmp_path / "cache").write_text("a file where a folder should be")
    lines = []
    assert features(folder, tmp_path, notice=lines.append) is not None
    assert "going on without" in lines[-1]


# The hash


def test_hash_is_of_content(tmp_path, folder, monkeypatch):
    # The hash is of what goes in: what comes out may be anything.
    monkeypatch.setattr(
        "jaxrec.data.text_encoder.encode", lambda encoder, texts, notice: np.ones((len(texts), 8), "f4")
    )
    base = features(folder, tmp_path).sha256
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert features(moved, tmp_path).sha256 == base
    weights = tensors()
    weights["embeddings.LayerNorm.bias"] = weights["embeddings.LayerNorm.bias"] + np.float32(0.1)
    for name, other in {
        "weights": {"held": weights},
        "pooling": {"pooling": "cls_token"},
        "length": {"normalize": False},
        "tokens": {"max_length": 4},
    }.items():
        assert features(write_encoder(tmp_path / name, **other), tmp_path).sha256 != base
    assert features(folder, tmp_path, dataset(("warm", *TEXTS[1:]))).sha256 != base
    assert features(folder, tmp_path, dataset(sha256="e" * 64)).sha256 != base


# What is refused


def test_no_folder(tmp_path):
    message = refused(tmp_path / "absent")
    assert "text.encoder" in message
    assert "absent" in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    assert f"{name}: not found" in refused(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "t5"}, "model_type 't5'"),
        ({"hidden_size": "8"}, "hidden_size '8'"),
        ({"num_attention_heads": 3}, "multiple of num_attention_heads 3"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"layer_norm_eps": 0}, "layer_norm_eps 0"),
        ({"intermediate_size": 13}, "intermediate.dense.bias has shape [12]; [13] is needed"),
        ({"vocab_size": 11}, "word_embeddings.weight has shape [12, 8]; [11, 8] is needed"),
        ({"num_hidden_layers": 3}, "no tensor encoder.layer.2."),
    ],
)
def test_config_that_does_not_fit(folder, change, words):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    assert words in refused(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "{", "config.json: cannot be read as JSON"),
        ("config.json", "[]", "an object is needed"),
        ("model.safetensors", "short", "not a whole .safetensors"),
        ("tokenizer.json", "{}", "not a whole tokenizer"),
        ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "module Dense"),
        ("modules.json", "{}", "a list of objects"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "pooling max_tokens"),
        ("sentence_bert_config.json", '{"max_seq_length": 2}', "max_seq_length 2"),
    ],
)
def test_damaged_file(folder, name, content, words):
    (folder / name).write_text(content)
    assert words in refused(folder)


def test_tokenizer_of_another_model(tmp_path):
    config, folder = CONFIG | {"vocab_size": 8}, tmp_path / "e"
    assert "token id 8, but config.json says vocab_size 8" in refused(
        write_encoder(folder, held=tensors(config=config), config=config)
    )


def test_weights_that_are_not_finite(folder):
    held = load_file(folder / "model.safetensors")
    held["embeddings.LayerNorm.bias"] = held["embeddings.LayerNorm.bias"] * np.float32("nan")
    save_file(held, folder / "model.safetensors")
    assert "not finite" in refused(folder)


def test_half_a_surrogate_pair_is_read(tmp_path, folder):
    made = features(folder, tmp_path, dataset(("warm \ud83d light", *TEXTS[1:])))
    assert made.item_mask[0]


@pytest.mark.parametrize("source", ["none", "tfidf", "given"])
def test_encoder_beside_another_source(folder, source):
    assert f"text.source: found {source} beside text.encoder" in refused(folder, source=source)


def test_encoder_without_folder_beside_a_path_and_without_texts(folder):
    with pytest.raises(UserError, match="found encoder without text"):
        load_text(TextConfig(source="encoder"), dataset())
    assert "one of them" in refused(folder, path="x.npy")
    with pytest.raises(UserError, match="home has no item text"):
        load_text(TextConfig(encoder=str(folder)), dataset(None))


# Real weights


@pytest.mark.models
def test_real_encoder_knows_what_is_alike():
    root = os.environ.get("JAXREC_MODELS")
    if not root or not (Path(root) / "minilm").is_dir():
        pytest.skip("JAXREC_MODELS names no folder with the sentence encoder minilm/")
    texts = ("a cozy co-op game with friends", "relaxing cooperative multiplayer", "quarterly tax report")
    vectors = encode(read_encoder(Path(root) / "minilm"), texts, lambda _: None)
    closeness = vectors @ vectors[0]
    assert vectors.shape == (3, 384)
    assert closeness[1] > closeness[2] + 0.3
