"""Adapters: at rest, merged, unmerged, in PEFT's files; what dropout leaves them."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxrec.errors import UserError
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import forward
from jaxrec.llm.layers import Projection
from jaxrec.llm.lora import TARGETS, LoRAConfig, init_adapters, merge, scaled, unmerge
from jaxrec.llm.lora_files import read_adapters, write_adapters
from jaxrec.llm.weights import read_params
from tests.llm.flax_llama import flax_llama_logits
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder

IDS = np.random.default_rng(1).integers(0, CONFIG["vocab_size"], 30)
EVERY = LoRAConfig(rank=3, alpha=7.5, targets=TARGETS)
run = jax.jit(forward, static_argnums=1)


def load(folder, config=CONFIG):
    write_folder(folder, config)
    decoder = read_config(folder / "config.json", "float32")
    return decoder, read_params(folder, decoder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tmp_path_factory.mktemp("llama"))


def trained(lora, decoder):
    """Adapters as if something had been learned: no part of them is zero."""
    adapters = init_adapters(lora, decoder, jax.random.key(2))
    rng = np.random.default_rng(4)
    return jax.tree.map(lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32), adapters)


def logits_of(params, config, adapters=None):
    tokens = jnp.asarray(IDS, jnp.int32)[None]
    return np.asarray(run(params, config, tokens, jnp.arange(len(IDS))[None], adapters=adapters)[0][0])


def tensors_after_peft(held, folder):
    """The tensors with what a PEFT folder says added: W [out, in] + alpha / r B A."""
    described = json.loads((folder / "adapter_config.json").read_text())
    pairs = load_file(folder / "adapter_model.safetensors")
    held = dict(held)
    for key, a in pairs.items():
        if ".lora_A." in key:
            name = key.removeprefix("base_model.model.").replace(".lora_A.", ".")
            b = pairs[key.replace(".lora_A.", ".lora_B.")]
            held[name] = held[name] + described["lora_alpha"] / described["r"] * (b @ a)
    return held


def test_fresh_adapters_change_nothing(model):
    config, params = model
    adapters = init_adapters(EVERY, config, jax.random.key(0))
    assert np.array_equal(logits_of(params, config, scaled(adapters, EVERY)), logits_of(params, config))
    query = adapters["layers"]["attention"]["query"]
    assert query["a"].shape == (3, 16, 3)
    assert query["b"].shape == (3, 3, 16)
    # Uniform within 1 / sqrt(16), and another draw in each layer and projection.
    assert 0.2 < np.abs(query["a"]).max() <= 0.25
    draws = {leaf.tobytes() for leaf in (*np.asarray(query["a"]), *np.asarray(adapters["layers"]["mlp"]["up"]["a"]))}
    assert len(draws) == 6


@pytest.mark.parametrize("lora", [EVERY, LoRAConfig(2, 4.0, ("mlp/down", "attention/output"))], ids=["every", "two"])
def test_merged_weights_compute_what_the_adapters_add(model, tmp_path, lora):
    config, params = model
    adapters = trained(lora, config)
    before = jax.tree.map(np.copy, params)
    merged = merge(params, adapters, lora)
    write_adapters(tmp_path, adapters, lora)
    expected = logits_by_hand(IDS, tensors_after_peft(tensors(), tmp_path))
    np.testing.assert_allclose(logits_of(merged, config), expected, atol=1e-4)
    np.testing.assert_allclose(logits_of(params, config, scaled(adapters, lora)), expected, atol=1e-4)
    assert np.abs(expected - logits_of(params, config)).max() > 0.1
    jax.tree.map(np.testing.assert_array_equal, params, before)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), unmerge(merged, adapters, lora), params)


def test_merged_logits_are_those_of_transformers_flax_llama(tmp_path):
    pytest.importorskip("transformers")
    shape = CONFIG | {"num_key_value_heads": 4, "rope_theta": 10000.0}
    config, params = load(tmp_path / "model", shape)
    adapters = trained(EVERY, config)
    write_adapters(tmp_path / "adapters", adapters, EVERY)
    expected = flax_llama_logits(shape, tensors_after_peft(tensors(shape), tmp_path / "adapters"), IDS)
    np.testing.assert_allclose(logits_of(merge(params, adapters, EVERY), config), expected, atol=1e-4)


# Files


def test_files_are_peft_s(model, tmp_path):
    config, _ = model
    write_adapters(tmp_path, trained(EVERY, config), EVERY, "some/model")
    held = load_file(tmp_path / "adapter_model.safetensors")
    assert len(held) == 2 * (7 * 3 + 1)
    prefix = "base_model.model.model.layers.2"
    assert held[f"{prefix}.self_attn.k_proj.lora_A.weight"].shape == (3, 16)
    assert held[f"{prefix}.self_attn.k_proj.lora_B.weight"].shape == (8, 3)
    assert held[f"{prefix}.mlp.down_proj.lora_A.weight"].shape == (3, 24)
    assert held["base_model.model.lm_head.lora_B.weight"].shape == (40, 3)
    described = json.loads((tmp_path / "adapter_config.json").read_text())
    wanted = {"peft_type": "LORA", "r": 3, "lora_alpha": 7.5, "base_model_name_or_path": "some/model"}
    assert wanted.items() <= described.items()
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"}
    assert set(described["target_modules"]) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_files_are_read_back(model, tmp_path):
    config, _ = model
    lora = LoRAConfig(2, 3.0, ("attention/query", "mlp/up", "output"), dropout=0.1)
    adapters = trained(lora, config)
    write_adapters(tmp_path, adapters, lora)
    found_lora, found = read_adapters(tmp_path, config)
    assert found_lora == lora
    path = tmp_path / "adapter_config.json"
    described = json.loads(path.read_text())
    # PEFT's own default, for files that do not say.
    assert described.pop("lora_dropout") == 0.1
    path.write_text(json.dumps(described))
    assert read_adapters(tmp_path, config)[0].dropout == 0.0
    jax.tree.map(np.testing.assert_array_equal, found, adapters)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"use_dora": True}, "use_dora True; supported: False"),
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"r": 5}, r"has shape \[2, 16\]; \[5, 16\] is needed"),
        ({"r": None}, "r None"),
        ({"lora_dropout": "0.1"}, "lora_dropout '0.1'; a number is needed"),
        ({"lora_dropout": 1.0}, r"dropout: found 1\.0, allowed: 0 or more, below 1"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
    ],
)
def test_configs_that_are_refused(model, tmp_path, changes, named):
    lora = LoRAConfig(2, 4.0)
    write_adapters(tmp_path, trained(lora, model[0]), lora)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError, match=named):
        read_adapters(tmp_path, model[0])


def test_tensors_that_are_refused(model, tmp_path):
    lora = LoRAConfig(2, 4.0)
    write_adapters(tmp_path, trained(lora, model[0]), lora)
    path = tmp_path / "adapter_model.safetensors"
    held = load_file(path)
    one = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    for change, named in (
        ({one: None}, f"no tensor {one}"),
        ({one.replace("layers.1", "layers.7"): held[one]}, "the decoder has 3 layers"),
        ({one.replace("q_proj", "other"): held[one]}, "other.lora_B.weight; supported"),
        ({one: held[one].astype(np.int32)}, "holds int32"),
    ):
        changed = {key: value for key, value in (held | change).items() if value is not None}
        save_file(changed, path)
        with pytest.raises(UserError, match=named):
            read_adapters(tmp_path, model[0])
    path.write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"not a whole \.safetensors file"):
        read_adapters(tmp_path, model[0])
    path.unlink()
    with pytest.raises(UserError, match="not found"):
        read_adapters(tmp_path, model[0])


@pytest.mark.parametrize(
    ("lora", "named"),
    [
        (LoRAConfig(0), r"^lora\.rank: found 0"),
        (LoRAConfig(2, 0.0), r"^lora\.alpha: found 0\.0"),
        (LoRAConfig(2, dropout=float("nan")), r"^lora\.dropout: found nan"),
        (LoRAConfig(2, 1.0, ()), r"^lora\.targets: found none"),
        (LoRAConfig(2, 1.0, ("attention/q",)), r"^lora\.targets: found 'attention/q', allowed: attention/query"),
        (LoRAConfig(2, 1.0, ("mlp/up", "mlp/up")), "allowed: each once"),
    ],
)
def test_adapters_that_are_refused(model, lora, named):
    with pytest.raises(UserError, match=named):
        init_adapters(lora, model[0], jax.random.key(0))


def test_a_tied_output_has_no_adapter(tmp_path):
    config, _ = load(tmp_path, CONFIG | {"tie_word_embeddings": True})
    with pytest.raises(UserError, match="tied to the embeddings"):
        init_adapters(EVERY, config, jax.random.key(0))


# Dropout


def test_an_adapter_reads_what_is_left_and_the_weights_read_all():
    width, keep = 40, 0.75
    one = {"a": jnp.eye(width), "b": jnp.eye(width), "key": jax.random.key(3), "keep": jnp.float32(keep)}
    x = jnp.asarray(np.random.default_rng(6).normal(size=(5, 50, width)), jnp.float32)
    params = {"params": {"kernel": 2 * jnp.eye(width)}}
    project: Any = Projection(width)
    # W is 2 I and A B is I.
    factors = np.asarray(project.apply(params, x, one) / x - 2)
    dropped = np.isclose(factors, 0, atol=1e-4)
    np.testing.assert_allclose(factors[~dropped], 1 / keep, atol=1e-3)
    # Of 10,000 draws the share has a deviation of 0.4 %.
    assert abs(dropped.mean() - 0.25) < 0.02


def test_each_projection_and_layer_has_draws_of_its_own_and_none_without_a_key(model):
    lora = dataclasses.replace(EVERY, dropout=0.5)
    adapters = init_adapters(lora, model[0], jax.random.key(0))
    drawn = scaled(adapters, lora, jax.random.key(1))
    keys = [*drawn["layers"]["attention"]["query"]["key"], *drawn["layers"]["attention"]["value"]["key"]]
    keys += [*drawn["layers"]["mlp"]["down"]["key"], drawn["output"]["key"]]
    assert len({jax.random.key_data(key).tobytes() for key in keys}) == 3 * 3 + 1
    assert set(scaled(adapters, lora)["output"]) == {"a", "b"}
    assert set(scaled(adapters, EVERY, jax.random.key(1))["output"]) == {"a", "b"}
