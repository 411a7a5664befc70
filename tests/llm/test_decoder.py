"""The decoder's logits against transformers' Flax Llama and against NumPy; caches, batches, padding, adapters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.llm.cache import causal_mask, empty_cache
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import forward, init_params
from jaxrec.llm.weights import read_params
from tests.llm.flax_llama import flax_llama_logits
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder

IDS = np.random.default_rng(1).integers(0, CONFIG["vocab_size"], 40)
run = jax.jit(forward, static_argnums=1, static_argnames="remat")


def load(folder, config=CONFIG, **settings):
    write_folder(folder, config, **settings)
    decoder = read_config(folder / "config.json", "float32")
    return decoder, read_params(folder, decoder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tmp_path_factory.mktemp("llama"))


def logits_of(model, ids):
    config, params = model
    tokens = jnp.asarray(ids, jnp.int32)[None]
    return np.asarray(run(params, config, tokens, jnp.arange(len(ids))[None])[0][0])


def test_logits_are_those_of_transformers_flax_llama(tmp_path):
    pytest.importorskip("transformers")
    shape = CONFIG | {"num_key_value_heads": 4, "rope_theta": 10000.0}
    expected = flax_llama_logits(shape, tensors(shape), IDS)
    np.testing.assert_allclose(logits_of(load(tmp_path, shape), IDS), expected, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 1, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {
            "head_dim": 12,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
        {"tie_word_embeddings": True},
    ],
    ids=["grouped", "linear", "llama3", "tied"],
)
def test_logits_are_those_by_hand(tmp_path, changes):
    config = CONFIG | changes
    expected = logits_by_hand(IDS, tensors(config), config)
    np.testing.assert_allclose(logits_of(load(tmp_path, config), IDS), expected, atol=1e-4)


def test_cache_equals_no_cache(model):
    config, params = model
    expected = logits_of(model, IDS[:20])
    cache = empty_cache(config, 1, 32)
    found, start = [], 0
    for size in (7, 1, 1, 11):
        tokens = jnp.asarray(IDS[start : start + size], jnp.int32)[None]
        logits, cache = run(params, config, tokens, jnp.arange(start, start + size)[None], cache)
        found.append(logits[0])
        start += size
    assert int(cache.length) == 20
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


@pytest.mark.parametrize("padded", ["left", "right"])
def test_a_padded_batch_equals_single_rows(model, padded):
    config, params = model
    lengths, width = (3, 12, 7), 12
    tokens, positions = np.full((3, width), 5, np.int32), np.zeros((3, width), np.int32)
    real = np.zeros((3, width), bool)
    for row, length in enumerate(lengths):
        place = slice(width - length, None) if padded == "left" else slice(length)
        tokens[row, place], positions[row, place], real[row, place] = IDS[:length], np.arange(length), True
    mask = causal_mask(width, width) & jnp.asarray(real)[:, None, :]
    logits = np.asarray(run(params, config, jnp.asarray(tokens), jnp.asarray(positions), None, mask)[0])
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row][real[row]], logits_of(model, IDS[:length]), atol=1e-5)


def test_logits_only_where_they_are_wanted(model):
    config, params = model
    tokens = jnp.asarray(IDS[:24].reshape(2, 12), jnp.int32)
    positions = jnp.broadcast_to(jnp.arange(12), (2, 12))
    whole = run(params, config, tokens, positions)[0]
    places = jnp.asarray([[3, 11], [0, 5]])
    some = run(params, config, tokens, positions, logits_at=places)[0]
    np.testing.assert_allclose(
        some, np.take_along_axis(np.asarray(whole), np.asarray(places)[:, :, None], 1), atol=1e-5
    )


def test_adapters_add_their_product_to_the_weights(model):
    config, params = model
    rng = np.random.default_rng(3)

    def pair(kernel):
        *layers, into, out = kernel.shape
        return {"a": rng.normal(size=(*layers, into, 2)), "b": rng.normal(size=(*layers, 2, out)) * 0.1}

    layers = params["layers"]
    adapters = {
        "layers": {
            "attention": {name: pair(layers["attention"][name]["kernel"]) for name in ("query", "output")},
            "mlp": {name: pair(layers["mlp"][name]["kernel"]) for name in ("gate", "up", "down")},
        },
        "output": pair(params["output"]["kernel"]),
    }
    merged = jax.tree.map(np.copy, params)

    def merge(into, tree):
        for name, value in tree.items():
            if "a" in value:
                into[name]["kernel"] += value["a"] @ value["b"]
            else:
                merge(into[name], value)

    merge(merged, adapters)
    tokens, positions = jnp.asarray(IDS, jnp.int32)[None], jnp.arange(len(IDS))[None]
    found = run(params, config, tokens, positions, adapters=jax.tree.map(jnp.asarray, adapters))[0]
    np.testing.assert_allclose(found[0], logits_of((config, merged), IDS), atol=1e-4)
    assert np.abs(found[0] - logits_of(model, IDS)).max() > 0.1


def test_gradients_with_layers_computed_anew_are_the_same(model):
    config, params = model
    tokens, positions = jnp.asarray(IDS, jnp.int32)[None], jnp.arange(len(IDS))[None]

    def loss(params, remat):
        logits = forward(params, config, tokens, positions, remat=remat)[0]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits[:, :-1]), tokens[:, 1:, None], axis=2).mean()

    kept, anew = (jax.jit(jax.grad(functools.partial(loss, remat=remat)))(params) for remat in (False, True))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), kept, anew)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(kept))


def test_bfloat16_is_near(tmp_path):
    write_folder(tmp_path)
    config = read_config(tmp_path / "config.json", "bfloat16")
    params = read_params(tmp_path, config)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"bfloat16"}
    logits = logits_of((config, params), IDS)
    assert logits.dtype == np.float32
    expected = logits_by_hand(IDS, tensors())
    assert np.abs(logits - expected).mean() < 0.05 * expected.std()
    tokens, positions = jnp.asarray(IDS, jnp.int32)[None], jnp.arange(len(IDS))[None]
    cached, cache = run(params, config, tokens, positions, empty_cache(config, 1, 48))
    assert cache.keys.dtype == jnp.bfloat16
    np.testing.assert_allclose(cached[0], logits, atol=0.1)


def test_depth_does_not_lengthen_the_compiled_program(model):
    config, _ = model
    sizes = []
    for depth in (2, 12):
        deep = config.__class__(**(config.__dict__ | {"num_layers": depth}))
        shapes = jax.eval_shape(functools.partial(init_params, deep), jax.random.key(0))
        ids = jax.ShapeDtypeStruct((1, 8), jnp.int32)
        sizes.append(len(run.lower(shapes, deep, ids, ids).as_text().splitlines()))
    assert sizes[0] == sizes[1]
