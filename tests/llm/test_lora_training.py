"""Training of adapters: what is learned, what stays, and that accumulation and rematerialisation change nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.config import read_config
from jaxrec.llm.lora import TARGETS, LoRAConfig, init_adapters
from jaxrec.llm.lora_training import Example, answer_batch, answer_loss, init_state, train_step
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder

LORA = LoRAConfig(rank=4, alpha=8.0, targets=TARGETS)
RNG = np.random.default_rng(6)
# Of other lengths each, so that a mean of the micro-batches' means would be another figure.
EXAMPLES = [
    Example(*(RNG.integers(0, CONFIG["vocab_size"], length).tolist() for length in lengths))
    for lengths in ((5, 3), (9, 1), (2, 7), (12, 2))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return config, jax.tree.map(jnp.asarray, read_params(folder, config))


def close(left, right, atol):
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol), left, right)


def test_the_loss_is_that_of_the_answers_by_hand(model):
    config, params = model
    batch = answer_batch(EXAMPLES, config)
    expected = 0.0
    for prompt, answer in EXAMPLES:
        logits = logits_by_hand([*prompt, *answer], tensors())[len(prompt) - 1 : -1]
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected -= log_probs[np.arange(len(answer)), answer].sum()
    found = answer_loss(params, config, None, *(jnp.asarray(array[0]) for array in batch))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_example_is_learned_and_the_weights_stay(model):
    config, params = model
    before = jax.tree.map(np.array, params)
    optimizer = optax.adam(2e-2)
    state = init_state(init_adapters(LORA, config, jax.random.key(0)), optimizer)
    batch = answer_batch(EXAMPLES[:1], config)
    losses = []
    for _ in range(40):
        state, found = train_step(params, state, batch, config=config, lora=LORA, optimizer=optimizer, remat=False)
        losses.append(float(found["loss"]))
    assert losses[0] > 1.0
    assert losses[-1] < 0.02
    assert int(state.step) == 40
    jax.tree.map(np.testing.assert_array_equal, params, before)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(state.adapters))


@pytest.mark.parametrize(("micro_batches", "remat"), [(4, False), (3, True)])
def test_accumulation_and_rematerialisation_change_nothing(model, micro_batches, remat):
    config, params = model
    # Plain descent: Adam would blow up differences of gradients near zero.
    optimizer = optax.sgd(0.1)

    def after(micro_batches, remat):
        state = init_state(init_adapters(LORA, config, jax.random.key(0)), optimizer)
        batch = answer_batch(EXAMPLES, config, micro_batches)
        for _ in range(2):
            state, found = train_step(params, state, batch, config=config, lora=LORA, optimizer=optimizer, remat=remat)
        return state, found

    state, found = after(micro_batches, remat)
    expected, expected_found = after(1, False)
    close(state.adapters, expected.adapters, 1e-5)
    close(found, expected_found, 1e-5)
    assert float(found["gradient_norm"]) > 0.1


def test_batches_by_hand(model):
    batch = answer_batch([Example([1, 2], [3]), Example([4], [5, 6]), Example([7], [8])], model[0], micro_batches=2)
    assert batch.tokens.shape == (2, 2, 32)
    assert batch.tokens[:, :, :3].tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 0], [0, 0, 0]]]
    assert batch.places[:, :, :2].tolist() == [[[2, 1], [1, 2]], [[1, 1], [1, 1]]]
    assert batch.real[:, :, :2].tolist() == [[[True, False], [True, True]], [[True, False], [False, False]]]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (Example([], [1]), "prompt: found no tokens"),
        (Example([1], []), "answer: found no tokens"),
        (Example([1], [40]), "answer: found token 40, allowed: 0 to 39"),
        (Example([1] * 60, [1] * 5), "found 65 tokens, allowed: up to 64"),
    ],
)
def test_examples_that_cannot_be_learned(model, bad, named):
    with pytest.raises(UserError, match=r"^example 1: ") as caught:
        answer_batch([EXAMPLES[0], bad], model[0])
    assert named in str(caught.value)
