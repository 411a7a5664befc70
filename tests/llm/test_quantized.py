"""Weights of eight bits: their error, their size, what they compute, and that nothing is learned in them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.cache import empty_cache
from jaxrec.llm.config import DecoderConfig, read_config
from jaxrec.llm.decoder import forward, param_shapes, unstack
from jaxrec.llm.decoding import Rows, decode
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.lora import TARGETS, LoRAConfig, init_adapters, merge, scaled
from jaxrec.llm.packed_examples import Example, pack_shape, packed_batch, packed_loss
from jaxrec.llm.quantized import dequantize, frozen_matmul, quantize
from jaxrec.llm.sampling import Choice
from jaxrec.llm.score import Candidates, Scorer
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.tuning import Recipe, init_state, tuning_step
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder
from tests.models.world import mesh_of

RNG = np.random.default_rng(8)
IDS = RNG.integers(0, CONFIG["vocab_size"], 30)
LORA = LoRAConfig(rank=2, alpha=4.0, targets=TARGETS)
KERNELS = [name for name in tensors() if "_proj" in name or name == "lm_head.weight"]
run = jax.jit(forward, static_argnums=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return config, read_params(folder, config)


@pytest.fixture(scope="module")
def eight_bits(model):
    return model[0], quantize(model[1])


def tensors_by_hand():
    """The checkpoint with its matrices [out, in] on 255 steps a row, by scalars."""
    held = tensors()
    for name in KERNELS:
        rows = []
        for row in held[name].tolist():
            step = max(abs(value) for value in row) / 127
            rows.append([step * round(value / step) for value in row])
        held[name] = np.array(rows)
    return held


def logits_of(params, config, **more):
    tokens, positions = jnp.asarray(IDS, jnp.int32)[None], jnp.arange(len(IDS))[None]
    return np.asarray(run(params, config, tokens, positions, **more)[0][0])


def random_params(config):
    return jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(leaf.dtype), param_shapes(config))


def bytes_of(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def test_an_element_is_off_by_half_a_step_at_most(model, eight_bits):
    plain, held = model[1], eight_bits[1]
    back = dequantize(held, np.float32)
    kernels = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(plain):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        module, other = held, back
        for part in name.split("/")[:-1]:
            module, other = module[part], other[part]
        if not name.endswith("kernel"):
            np.testing.assert_array_equal(module[name.split("/")[-1]], leaf)
            continue
        kernels += 1
        assert module["kernel"].dtype == np.int8
        assert np.abs(module["kernel"].astype(int)).max(axis=-2).min() == 127
        np.testing.assert_allclose(module["scale"], np.abs(leaf).max(axis=-2) / 127, rtol=1e-6)
        error = np.abs(other["kernel"] - leaf) / module["scale"][..., None, :]
        assert error.max() <= 0.5 + 1e-4
        # Rounded to the nearest: spread evenly over the step.
        assert 0.2 < error.mean() < 0.3
    assert kernels == len(TARGETS)


def test_kernels_of_zeros_and_of_extremes():
    kernel = np.array([[0, 1e-30, 3e38, -1], [0, -1e-30, -3e38, 0.5]], np.float32)
    held = quantize({"output": {"kernel": kernel}})
    assert held["output"]["kernel"].tolist() == [[0, 127, 127, -127], [0, -127, -127, 64]]
    np.testing.assert_allclose(dequantize(held, np.float32)["output"]["kernel"], kernel, rtol=0.01)
    for bad in (np.nan, -np.inf):
        with pytest.raises(UserError, match=r"^layers/mlp/up: found values that are not finite"):
            quantize({"layers": {"mlp": {"up": {"kernel": np.array([[1.0, bad]], np.float32)}}}})


def test_they_take_a_quarter_of_the_memory():
    params = random_params(DecoderConfig(64, 256, 512, 2, 4, 4, 64, 64))
    held = quantize(params)
    assert bytes_of(held["layers"]) < 0.26 * bytes_of(params["layers"])
    assert bytes_of(held["output"]) < 0.26 * bytes_of(params["output"])


def test_logits_are_those_by_hand_and_near_the_plain_ones(model, eight_bits):
    config, held = eight_bits
    found = logits_of(held, config)
    np.testing.assert_allclose(found, logits_by_hand(IDS, tensors_by_hand()), atol=1e-4)
    np.testing.assert_allclose(logits_of(dequantize(held, np.float32), config), found, atol=1e-4)
    np.testing.assert_allclose(logits_of(unstack(held), config), found, atol=1e-5)
    # A column's largest element is about twice its deviation, so the error, a step / sqrt(12), is 0.5 % of it; the 22
    # matrices of this checkpoint, each with its own, come to sqrt(22) times that, 2 to 3 %.
    expected = logits_by_hand(IDS, tensors())
    error = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
    assert 0.002 < error < 0.05


def test_bfloat16_activations_and_a_tied_output(tmp_path):
    shape = CONFIG | {"tie_word_embeddings": True}
    write_folder(tmp_path, shape)
    config = read_config(tmp_path / "config.json", "bfloat16")
    held = quantize(read_params(tmp_path, config))
    assert "output" not in held
    assert held["embed"]["embedding"].dtype.name == "bfloat16"
    assert held["layers"]["mlp"]["up"]["scale"].dtype == np.float32
    found, expected = logits_of(held, config), logits_by_hand(IDS, tensors(shape), shape)
    assert np.abs(found - expected).mean() < 0.08 * expected.std()


def test_adapters_beside_them(model, eight_bits):
    config, held = eight_bits
    adapters = jax.tree.map(
        lambda leaf: leaf + 0.2 * RNG.normal(size=leaf.shape).astype(np.float32),
        init_adapters(LORA, config, jax.random.key(0)),
    )
    found = logits_of(held, config, adapters=scaled(adapters, LORA))
    merged = merge(dequantize(held, np.float32), adapters, LORA)
    np.testing.assert_allclose(found, logits_of(merged, config), atol=1e-4)
    with pytest.raises(UserError, match=r"^layers/attention/query: found a kernel of eight bits"):
        merge(held, adapters, LORA)


def test_generation_and_scores_are_those_of_the_weights_they_stand_for(eight_bits):
    config, held = eight_bits
    prompts = [Prompt(IDS[:5].tolist(), 8), Prompt(IDS[7:10].tolist(), 8)]
    asked = [Candidates(IDS[:6].tolist(), [[3], [4, 5], [4, 6, 7]])]

    def both(params):
        answers = Generator(place(params, config, None), config, ()).generate(prompts)
        return [answer.tokens for answer in answers], Scorer(place(params, config, None), config).score(asked)[0].total

    tokens, scores = both(held)
    expected_tokens, expected = both(dequantize(held, np.float32))
    assert tokens == expected_tokens
    np.testing.assert_allclose(scores, expected, atol=1e-4)


# Training

EXAMPLE = [Example(IDS[:9].tolist(), IDS[9:14].tolist())]


def batch_of(examples, config, micro_batches=1):
    return packed_batch(examples, config, pack_shape([examples], 14, micro_batches))


def test_the_gradient_is_that_of_the_weights_they_stand_for(eight_bits):
    config, held = eight_bits
    adapters = init_adapters(LORA, config, jax.random.key(1))
    micro = jax.tree.map(lambda array: jnp.asarray(array[0]), batch_of(EXAMPLE, config))

    def gradient(params):
        return jax.jit(jax.grad(lambda adapters: packed_loss(params, config, scaled(adapters, LORA), micro)))(adapters)

    expected = gradient(dequantize(held, np.float32))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-5), gradient(held), expected)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected)) > 0.1


def test_no_gradient_goes_to_them():
    kernel = jnp.asarray(RNG.integers(-127, 128, (4, 3)), jnp.int8)
    x, scale = jnp.asarray(RNG.normal(size=(2, 4)), jnp.float32), jnp.asarray([0.1, 0.2, 0.3])
    for_x, for_scale = jax.grad(lambda x, scale: frozen_matmul(x, kernel, scale).sum(), argnums=(0, 1))(x, scale)
    np.testing.assert_allclose(for_x, np.tile(np.asarray(kernel) @ np.asarray(scale), (2, 1)), rtol=1e-6)
    assert not for_scale.any()


def test_one_example_is_learned_and_the_weights_stay(eight_bits):
    config, held = eight_bits
    params = jax.tree.map(jnp.asarray, held)
    before = jax.tree.map(np.array, held)
    recipe = Recipe(config, optax.adam(2e-2), LORA, remat=True)
    state = init_state({"adapters": init_adapters(LORA, config, jax.random.key(0))}, recipe)
    batch = batch_of(EXAMPLE, config)
    losses = []
    for _ in range(40):
        state, found = tuning_step(params, state, batch, recipe=recipe)
        losses.append(float(found["loss"]))
    assert losses[0] > 1.0
    assert losses[-1] < 0.1
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_neither_a_step_of_training_nor_a_loop_of_generation_widens_all_of_them():
    config = DecoderConfig(64, 128, 384, 12, 4, 4, 32, 64)
    params = random_params(config)
    held = quantize(params)
    recipe = Recipe(config, optax.sgd(0.1), LoRAConfig(2), remat=True)
    state = init_state({"adapters": init_adapters(recipe.lora, config, jax.random.key(0))}, recipe)
    batch = batch_of([Example([1] * 10, [3])] * 2, config, micro_batches=2)
    zeros, ones = np.zeros(1, np.uint32), np.ones(1, np.float32)
    choice = Choice(ones, ones, zeros, zeros)  # type: ignore
    lengths = dict.fromkeys(Rows._fields, np.ones(1, np.int32)) | {"choice": choice}
    rows, cache = Rows(**lengths), empty_cache(config, 1, 24)
    lowered = (
        tuning_step.lower(held, state, batch, recipe=recipe),
        decode.lower(held, config, cache, np.zeros((1, 64), np.float32), rows, np.array([1]), 8),
    )
    for one in lowered:
        temporary = one.compile().memory_analysis().temp_size_in_bytes
        assert temporary < 0.5 * bytes_of(params)


# On a mesh


def test_a_mesh_gives_what_one_device_gives(eight_bits):
    config, held = eight_bits
    mesh = mesh_of(4, 2)
    params = place(held, config, mesh)
    query, down = params["layers"]["attention"]["query"], params["layers"]["mlp"]["down"]
    assert [query[name].sharding.shard_shape(query[name].shape) for name in query] == [(3, 16, 8), (3, 8)]
    assert [down[name].sharding.shard_shape(down[name].shape) for name in down] == [(3, 12, 16), (3, 16)]
    assert params["output"]["scale"].sharding.shard_shape((40,)) == (20,)
    tokens = np.tile(IDS, (4, 1)).astype(np.int32)
    positions = np.tile(np.arange(len(IDS), dtype=np.int32), (4, 1))
    found = run(params, config, *place_rows((tokens, positions), mesh))[0]
    np.testing.assert_allclose(found, np.tile(logits_of(held, config), (4, 1, 1)), atol=1e-4)
