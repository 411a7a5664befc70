"""PolyCF in embedding form against dense matrices in float64, built from the interactions alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCN
from jaxrec.models.polycf import PolyCF, PolyCFConfig
from tests.models.world import BASE, DIM, NUM_ITEMS, NUM_USERS, batch, context, dense_adjacency, interactions

RNG = jax.random.key(1)
CONFIG = PolyCFConfig(dim=DIM, exponents=(0.0, 0.3, 1.0), identity=True, regularization=0.1, init_std=0.3)


def dense_powers(exponents, num_layers=3):
    """(D^-gamma A D^(gamma-1))^k, [G, K + 1, N, N] float64; a node without edges has the power 0 alone."""
    users, items = interactions()
    adjacency = np.zeros((NUM_USERS + NUM_ITEMS,) * 2)
    adjacency[users, NUM_USERS + items] = adjacency[NUM_USERS + items, users] = 1.0
    degrees = adjacency.sum(1)
    with np.errstate(divide="ignore"):
        inverse = np.where(degrees > 0, 1 / degrees, 0)
    matrices = [inverse[:, None] ** gamma * adjacency * inverse[None, :] ** (1 - gamma) for gamma in exponents]
    return np.stack([[np.linalg.matrix_power(matrix, k) for k in range(num_layers + 1)] for matrix in matrices])


def started(config=CONFIG):
    """Model, and parameters whose coefficients have left their first value."""
    model = PolyCF(config, NUM_USERS, NUM_ITEMS)
    params, _ = model.init(jax.random.key(0), context())
    shape = params["filter"]["coefficients"].shape
    params["filter"]["coefficients"] = shape[0] * shape[1] * jax.random.normal(jax.random.key(5), shape)
    return model, params


def dense_filter(params, config=CONFIG):
    theta = np.asarray(params["filter"]["coefficients"], np.float64)
    theta = theta / theta.size
    if not config.identity:
        theta = np.concatenate([np.zeros((len(theta), 1)), theta], axis=1)
    return np.einsum("gk,gkmn->mn", theta, dense_powers(config.exponents))


def test_a_propagation_matrix_has_the_exponents_that_its_name_says():
    """gamma 1 averages over the neighbours, gamma 0 spreads a node's value over them, 0.5 is LightGCN's."""
    powers = dense_powers((1.0, 0.0, 0.5))
    connected = powers[0, 1].sum(1) > 0
    np.testing.assert_allclose(powers[0, 1].sum(1)[connected], 1)
    np.testing.assert_allclose(powers[1, 1].sum(0)[connected], 1)
    np.testing.assert_allclose(powers[2, 1], dense_adjacency(), atol=1e-12)


@pytest.mark.parametrize("identity", [True, False])
def test_encoding_is_the_dense_polynomial(identity):
    config = dataclasses.replace(CONFIG, identity=identity)
    model, params = started(config)
    expected = dense_filter(params, config) @ np.asarray(params["nodes"]["embedding"], np.float64)
    actual = jnp.concatenate(model.encode(params, context()))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() > 1


def test_loss_and_gradients_equal_those_of_a_dense_matrix():
    model, params = started()
    rows = batch()
    powers = jnp.asarray(dense_powers(CONFIG.exponents), jnp.float32)

    def dense(params):
        table = params["nodes"]["embedding"]
        theta = params["filter"]["coefficients"] / 12
        nodes = jnp.einsum("gk,gkmn,nd->md", theta, powers, table)
        ids = [
            rows[key][:13] + NUM_USERS * (key != "user_ids") for key in ("user_ids", "item_ids", "negative_item_ids")
        ]
        user, positive, negative = (nodes[row] for row in ids)
        squares = sum((table[row] ** 2).sum() for row in ids) / 13 + (theta**2).sum()
        return jnp.log1p(jnp.exp((user * (negative - positive)).sum(1))).mean() + 0.1 * 0.5 * squares

    expected, by_dense = jax.jit(jax.value_and_grad(dense))(params)
    objective = jax.jit(jax.value_and_grad(lambda params, ctx: model.loss(params, {}, rows, ctx, RNG).total))
    actual, gradient = objective(params, context())
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5), gradient, by_dense)


@pytest.mark.parametrize("exponents", [(0.5,), (0.2, 0.5), (0.2, 0.9)])
def test_lmmrec_finds_lightgcns_layers_whatever_the_exponents(exponents):
    model, params = started(dataclasses.replace(CONFIG, exponents=exponents))
    nodes = model.batch_nodes(batch())
    rows = jax.jit(model.training_rows)(params, nodes, context().graph, context())
    table = np.asarray(params["nodes"]["embedding"], np.float64)
    expected = [np.linalg.matrix_power(dense_adjacency(), k)[nodes] @ table for k in range(4)]
    np.testing.assert_allclose(model.encoder_layers(rows), expected, atol=1e-5)
    parts = model.loss_from_rows(params, rows, batch(), context(), RNG)
    expected = jax.jit(model.loss)(params, {}, batch(), context(), RNG).parts
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-6), parts, expected)


def test_one_symmetric_exponent_begins_as_lightgcn():
    model = PolyCF(dataclasses.replace(CONFIG, exponents=(0.5,)), NUM_USERS, NUM_ITEMS)
    lightgcn = LightGCN(BASE, NUM_USERS, NUM_ITEMS)
    params, _ = model.init(jax.random.key(0), context())
    expected = lightgcn.encode({"nodes": params["nodes"]}, context())
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6), model.encode(params, context()), expected)


def test_first_coefficients_are_a_mean():
    for identity, first in ((True, 1 / 12), (False, 0)):
        model = PolyCF(dataclasses.replace(CONFIG, identity=identity), NUM_USERS, NUM_ITEMS)
        theta = model.theta(model.init(jax.random.key(0), context())[0])
        assert theta.shape == (3, 4)
        np.testing.assert_allclose(theta[:, 0], first)
        np.testing.assert_allclose(theta[:, 1:], 1 / 12 if identity else 1 / 9)


def test_a_node_without_edges_keeps_its_own_term_alone():
    model, params = started()
    users, items = model.encode(params, context())
    own = params["filter"]["coefficients"][:, 0].sum() / 12
    np.testing.assert_allclose(users[-1], own * params["nodes"]["embedding"][NUM_USERS - 1], rtol=1e-5)
    np.testing.assert_allclose(items[-1], own * params["nodes"]["embedding"][-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dim": 0}, "model.dim: found 0"),
        ({"num_layers": 0}, "model.num_layers: found 0"),
        ({"edge_dropout": 1.0}, "model.edge_dropout: found 1.0"),
        ({"exponents": ()}, "model.exponents: found ()"),
        ({"exponents": (0.5, 1.2)}, "model.exponents: found (0.5, 1.2)"),
        ({"exponents": (0.5, 0.5)}, "model.exponents: found (0.5, 0.5)"),
    ],
)
def test_impossible_settings_are_refused_by_field(change, field):
    PolyCFConfig().validate()
    with pytest.raises(UserError) as caught:
        dataclasses.replace(CONFIG, **change).validate()
    assert str(caught.value).startswith(field)
    assert "allowed" in str(caught.value)
