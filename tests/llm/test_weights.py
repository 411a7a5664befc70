"""Weights out of folders and GGUF files: the same logits, and an error with a name for whatever is wrong."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import forward
from jaxrec.llm.gguf_weights import GGUFFile, gguf_config, gguf_params
from jaxrec.llm.quantized import quantize
from jaxrec.llm.weights import read_params
from tests.llm.tiny_gguf import WIDE, write_gguf
from tests.llm.tiny_llama import CONFIG, frequencies_by_hand, logits_by_hand, tensors, write_folder

IDS = np.random.default_rng(1).integers(0, CONFIG["vocab_size"], 12)
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Such files hold what llama3 makes of each frequency instead of its settings.
DIVISORS = frequencies_by_hand(WIDE) / frequencies_by_hand(WIDE | {"rope_scaling": LLAMA3})
run = jax.jit(forward, static_argnums=1)


def read_folder(folder):
    config = read_config(folder / "config.json", "float32")
    return config, read_params(folder, config)


def read_gguf(path):
    file = GGUFFile(path)
    config = gguf_config(file, "float32")
    return config, gguf_params(file, config)


def logits_of(config, params):
    return run(params, config, jnp.asarray(IDS, jnp.int32)[None], jnp.arange(len(IDS))[None])[0][0]


def refused(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


# Folders


def test_shards_and_half_precision_are_one_checkpoint(tmp_path):
    one, three = write_folder(tmp_path / "one"), write_folder(tmp_path / "three", shards=3)
    jax.tree.map(np.testing.assert_array_equal, read_folder(one), read_folder(three))
    for dtype in (np.float16, ml_dtypes.bfloat16):
        held = {name: values.astype(dtype) for name, values in tensors().items()}
        config, params = read_folder(write_folder(tmp_path / np.dtype(dtype).name, held=held))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
        expected = logits_by_hand(IDS, {name: values.astype(np.float32) for name, values in held.items()})
        np.testing.assert_allclose(logits_of(config, params), expected, atol=1e-4)


def test_weights_of_eight_bits_are_made_as_they_are_read(tmp_path):
    folder = write_folder(tmp_path / "folder")
    config, params = read_folder(folder)
    jax.tree.map(np.testing.assert_array_equal, read_params(folder, config, "int8"), quantize(params))
    file = GGUFFile(write_gguf(tmp_path / "tiny.gguf"))
    config = gguf_config(file, "float32")
    jax.tree.map(np.testing.assert_array_equal, gguf_params(file, config, "int8"), quantize(gguf_params(file, config)))
    name = "model.layers.1.mlp.up_proj.weight"
    bad = write_folder(tmp_path / "bad", held=tensors() | {name: np.full((24, 16), np.nan, np.float32)})
    told = refused(lambda folder: read_params(folder, read_folder(folder)[0], "int8"), bad)
    assert f"tensor {name}: found values that are not finite" in told


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "gpt_neox"}, "model_type 'gpt_neox'; supported: llama, mistral"),
        ({"hidden_size": None}, "hidden_size None; a whole number"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'; supported: 'silu'"),
        ({"attention_bias": True}, "attention_bias True; supported: False"),
        ({"sliding_window": 4096}, "sliding_window 4096; supported: None"),
        ({"num_key_value_heads": 3}, "num_kv_heads 3; a divisor of num_heads 4"),
        ({"head_dim": 5}, "head_dim 5; allowed: an even number"),
        ({"rope_theta": "big"}, "rope_theta 'big'; a number"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0}}, "the type 'yarn'; supported: default, linear, llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 0.0}}, "rope_scaling.factor 0.0; allowed: above 0"),
        ({"rope_scaling": LLAMA3 | {"low_freq_factor": 5.0}}, "low_freq_factor 5.0"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.low_freq_factor None"),
    ],
)
def test_configs_that_are_refused(tmp_path, changes, named):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | changes))
    assert named in refused(lambda path: read_config(path, "float32"), path)


def test_folders_that_are_refused(tmp_path):
    folder = write_folder(tmp_path / "whole")
    held = tensors()
    name = "model.layers.1.mlp.up_proj.weight"
    without = {key: value for key, value in held.items() if key != name}
    assert f"no tensor {name}" in refused(read_folder, write_folder(tmp_path / "without", held=without))
    bent = held | {name: held[name].T.copy()}
    assert "shape [16, 24]; [24, 16] is needed" in refused(read_folder, write_folder(tmp_path / "bent", held=bent))
    whole = held | {name: held[name].astype(np.int32)}
    assert "holds int32" in refused(read_folder, write_folder(tmp_path / "whole_numbers", held=whole))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])
    assert "not a whole .safetensors file" in refused(read_folder, folder)
    (folder / "model.safetensors").unlink()
    assert "neither model.safetensors nor" in refused(read_folder, folder)
    index = folder / "model.safetensors.index.json"
    for weight_map, named in (({"a": "../b.safetensors"}, "names '../b.safetensors'"), ([], "no weight_map")):
        index.write_text(json.dumps({"weight_map": weight_map}))
        assert named in refused(read_folder, folder)


# GGUF files


@pytest.mark.parametrize(
    ("scaling", "settings"),
    [
        (None, {}),
        (
            {"rope_type": "linear", "factor": 4.0},
            {"fields": [("llama.rope.scaling.type", "linear"), ("llama.rope.scaling.factor", 4.0)]},
        ),
        ({"rope_type": "linear", "factor": 4.0}, {"fields": [("llama.rope.scaling.factor", 4.0)]}),
        ({"rope_type": "linear", "factor": 4.0}, {"fields": [("llama.rope.scale_linear", 4.0)]}),
        (None, {"fields": [("llama.rope.scaling.type", "none"), ("llama.rope.scaling.factor", 4.0)]}),
        (LLAMA3, {"extra": [("rope_freqs.weight", DIVISORS.astype(np.float32))]}),
    ],
    ids=["plain", "linear", "no type", "of 2023", "none", "divisors"],
)
def test_gguf_gives_the_logits_by_hand(tmp_path, scaling, settings):
    config, params = read_gguf(write_gguf(tmp_path / "tiny.gguf", **settings))
    assert not config.tied_output
    shape = WIDE | {"rope_scaling": scaling}
    np.testing.assert_allclose(logits_of(config, params), logits_by_hand(IDS, tensors(WIDE), shape), atol=1e-4)


def test_gguf_without_an_output_is_tied(tmp_path):
    shape = WIDE | {"tie_word_embeddings": True, "head_dim": 12}
    fields = [("llama.attention.key_length", 12), ("llama.rope.dimension_count", 12)]
    config, params = read_gguf(write_gguf(tmp_path / "tied.gguf", shape, fields=fields))
    assert config.tied_output
    np.testing.assert_allclose(logits_of(config, params), logits_by_hand(IDS, tensors(shape), shape), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "levels"), [("F16", 2000), ("BF16", 250), ("Q8_0", 250), ("Q5_1", 31), ("Q4_1", 15), ("Q4_0", 14)]
)
def test_gguf_types_are_near_what_was_written(tmp_path, kind, levels):
    held = tensors(WIDE)
    _, params = read_gguf(write_gguf(tmp_path / "small.gguf", kind=kind))
    written = held["model.layers.2.mlp.down_proj.weight"]
    # Half a level of the widest block, and a little for the block's scale in half precision.
    spread = np.ptp(written.reshape(-1, 32), axis=1).max()
    found = params["layers"]["mlp"]["down"]["kernel"][2].T
    assert 0 < np.abs(found - written).max() < 1.1 * spread / levels
    np.testing.assert_array_equal(params["norm"]["scale"], held["model.norm.weight"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"fields": [("llama.rope.scaling.type", "yarn")]}, "llama.rope.scaling.type 'yarn'; supported: none, linear"),
        ({"fields": [("llama.block_count", None)]}, "llama.block_count None; a whole number"),
        ({"fields": [("llama.expert_count", 8)]}, "llama.expert_count 8; experts are not supported"),
        ({"fields": [("llama.rope.dimension_count", 4)]}, "llama.rope.dimension_count 4; supported"),
        ({"fields": [("llama.embedding_length", 64)]}, "tensor model.embed_tokens.weight has shape [40, 32]"),
        ({"without": ["blk.1.ffn_up.weight"]}, "no tensor blk.1.ffn_up.weight"),
        ({"without": ["token_embd.weight"]}, "no tensor token_embd.weight"),
        ({"fields": [("llama.rope.scaling.type", "linear")]}, "llama.rope.scaling.factor None; a number"),
        ({"extra": [("blk.1.attn_q.bias", np.ones(32, np.float32))]}, "blk.1.attn_q.bias; biases are not supported"),
        (
            {"without": ["output_norm.weight"], "extra": [("output_norm.weight", np.ones(32, np.int8))]},
            "tensor output_norm.weight is of the type I8, which gguf does not decode",
        ),
    ],
)
def test_gguf_files_that_are_refused(tmp_path, settings, named):
    assert named in refused(read_gguf, write_gguf(tmp_path / "bad.gguf", **settings))


def test_damaged_gguf_files_are_refused(tmp_path):
    path = write_gguf(tmp_path / "cut.gguf")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:40], b"", b"GGML" + whole[4:]):
        path.write_bytes(damaged)
        assert "not a whole GGUF file" in refused(read_gguf, path)
