"""Examples that share rows: what a batch holds, and that it trains what rows of their own train."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.lora import LoRAConfig, init_adapters
from jaxrec.llm.packed_examples import Example, PackShape, pack, pack_shape, packed_batch, packed_loss
from tests.llm.tiny_examples import EXAMPLES
from tests.llm.tiny_llama import logits_by_hand, tensors


def test_rows_hold_what_fits_and_everything_once():
    lengths = np.random.default_rng(9).integers(1, 20, 200).tolist()
    rows = pack(lengths, 32)
    assert sorted(place for row in rows for place in row) == list(range(200))
    assert all(sum(lengths[place] for place in row) <= 32 for row in rows)
    # First fit by falling length needs at most 11/9 of the best, and the best at least the sum's share.
    assert len(rows) <= 11 / 9 * (sum(lengths) / 32) + 2
    with pytest.raises(UserError, match="example 1: found 40 tokens, allowed: up to 32"):
        pack([3, 40], 32)


def test_a_packed_batch_by_hand(model):
    examples = [Example([1, 2], [3]), Example([4, 5, 6], [7, 8]), Example([9], [10])]
    batch = packed_batch(examples, model[0], PackShape(1, 2, 8, 4))
    assert batch.tokens[0].tolist() == [[4, 5, 6, 7, 8, 1, 2, 3], [9, 10, 0, 0, 0, 0, 0, 0]]
    assert batch.positions[0].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2], [0, 1] + [0] * 6]
    assert batch.segments[0].tolist() == [[1, 1, 1, 1, 1, 2, 2, 2], [1, 1] + [0] * 6]
    assert batch.places[0].tolist() == [[3, 4, 7, 1], [1, 1, 1, 1]]
    assert batch.real[0].tolist() == [[True, True, True, False], [True, False, False, False]]


def one_to_a_row(examples, config):
    """Each example in a row of its own, [1, E, T]."""
    shape = PackShape(1, 1, 24, 8)
    rows = [packed_batch([example], config, shape) for example in examples]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays, axis=1), *rows)


def test_the_loss_is_that_of_the_answers_by_hand(model):
    config, params = model
    expected = 0.0
    for prompt, answer in EXAMPLES:
        logits = logits_by_hand([*prompt, *answer], tensors())[len(prompt) - 1 : -1]
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected -= log_probs[np.arange(len(answer)), answer].sum()
    micro = jax.tree.map(lambda array: jnp.asarray(array[0]), one_to_a_row(EXAMPLES, config))
    found = jax.jit(lambda params, micro: packed_loss(params, config, None, micro))(params, micro)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_packed_and_unpacked_examples_have_one_loss_and_one_gradient(model):
    config, params = model
    # B is zero at first, and so would be the gradient of A.
    adapters = init_adapters(LoRAConfig(rank=4, alpha=8.0), config, jax.random.key(0))
    adapters = jax.tree.map(lambda leaf: leaf + 0.05, adapters)
    apart = jax.tree.map(lambda array: jnp.asarray(array[0]), one_to_a_row(EXAMPLES, config))
    shape = pack_shape([EXAMPLES], 24)
    assert shape.rows < len(EXAMPLES) - 1
    together = jax.tree.map(lambda array: jnp.asarray(array[0]), packed_batch(EXAMPLES, config, shape))
    trained = {"adapters": adapters, "embed": params["embed"]}

    def of(loss):
        both = jax.value_and_grad(lambda tree: loss(params | {"embed": tree["embed"]}, tree["adapters"]))
        return jax.jit(both)(trained)

    expected, expected_gradient = of(lambda params, adapters: packed_loss(params, config, adapters, apart))
    found, gradient = of(lambda params, adapters: packed_loss(params, config, adapters, together))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert optax.tree.norm(expected_gradient) > 0.1
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=2e-4), gradient, expected_gradient)


def test_a_shape_holds_all_its_batches(model):
    batches = [EXAMPLES[:2], EXAMPLES[2:], EXAMPLES[:1]]
    shape = pack_shape(batches, 24, micro_batches=2, row_multiple=2)
    assert shape.rows % 2 == 0
    for examples in batches:
        batch = packed_batch(examples, model[0], shape)
        assert batch.tokens.shape == (2, shape.rows, 24)
        assert batch.real.sum() == sum(len(answer) for _, answer in examples)


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
        packed_batch([EXAMPLES[0], bad], model[0], PackShape(1, 2, 64, 16))
    assert named in str(caught.value)
