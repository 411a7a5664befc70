"""Prototypes (LMMRec Eq. 5 and 6) and the text tower (Eq. 3)."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.nn.prototypes import PrototypeBank, express
from jaxrec.nn.text_tower import TextTower


def test_expectation_of_prototypes_is_written_out():
    rng = np.random.default_rng(0)
    vectors, bank = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4))
    actual = express(jnp.asarray(vectors, jnp.float32), jnp.asarray(bank, jnp.float32))
    for index in np.ndindex(2, 3):
        scores = [np.exp(vectors[index] @ prototype) for prototype in bank]
        expected = sum(score * prototype for score, prototype in zip(scores, bank, strict=True)) / sum(scores)
        np.testing.assert_allclose(actual[index], expected, rtol=1e-5)


def test_one_prototype_is_everybodys_motivation():
    bank = jnp.array([[1.0, -2.0, 0.5]])
    np.testing.assert_allclose(express(jnp.ones((4, 3)), bank), jnp.repeat(bank, 4, axis=0))


def test_weights_sum_to_one_and_the_bank_learns():
    vectors, bank = jnp.ones((6, 4)), PrototypeBank(3, 4).init(jax.random.key(0))["params"]["prototypes"]
    assert bank.shape == (3, 4)
    assert bank.dtype == jnp.float32
    # A constant in every prototype comes out as it went in: the weights sum to one.
    np.testing.assert_allclose(express(vectors, bank.at[:, 0].set(7.0))[:, 0], 7.0, rtol=1e-6)
    gradient = jax.grad(lambda z: express(vectors, z)[:, 1].sum())(bank)
    assert jnp.all(jnp.any(gradient != 0, axis=1))


def test_a_large_score_does_not_overflow():
    bank = jnp.array([[1e3, 0.0], [0.0, 1e3]])
    np.testing.assert_allclose(express(jnp.array([[1e3, 0.0]]), bank), [[1e3, 0.0]])


def test_text_tower_is_two_layers_with_a_leak():
    text = jnp.asarray(np.random.default_rng(0).normal(size=(5, 10)), jnp.float32)
    params = TextTower(4).init(jax.random.key(0), text)["params"]
    assert params["hidden"]["kernel"].shape == (10, 7)
    assert params["output"]["kernel"].shape == (7, 4)
    assert jnp.abs(params["hidden"]["kernel"]).max() <= np.sqrt(6 / 17)  # Xavier-uniform
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    hidden = np.asarray(text) @ np.asarray(params["hidden"]["kernel"]) + np.asarray(params["hidden"]["bias"])
    hidden = np.maximum(hidden, 0.01 * hidden)
    expected = hidden @ np.asarray(params["output"]["kernel"]) + np.asarray(params["output"]["bias"])
    np.testing.assert_allclose(TextTower(4).apply({"params": params}, text), expected, rtol=1e-4, atol=1e-6)
