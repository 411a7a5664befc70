"""LightGCN and BPR-MF against their equations; popularity; and whether the graph model finds what is planted."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.models.popularity import Popularity, PopularityConfig
from jaxrec.nn.graph import build_graph
from tests.models.world import BASE, NUM_ITEMS, NUM_USERS, batch, context, dense_adjacency, interactions

RNG = jax.random.key(1)
LAYER_WEIGHTS = {"mean": [0.25] * 4, "sum": [1.0] * 4, "mean_no_ego": [0.0, 1 / 3, 1 / 3, 1 / 3]}


def polynomial(combine):
    """The dense matrix sum over k of w_k A^k."""
    powers = [np.linalg.matrix_power(dense_adjacency(), k) for k in range(4)]
    return sum(weight * power for weight, power in zip(LAYER_WEIGHTS[combine], powers, strict=True))


@pytest.mark.parametrize("combine", sorted(LAYER_WEIGHTS))
def test_encoding_is_the_dense_polynomial(combine):
    model = LightGCN(dataclasses.replace(BASE, combine=combine), NUM_USERS, NUM_ITEMS)
    params, _ = model.init(jax.random.key(0), context())
    expected = polynomial(combine) @ np.asarray(params["nodes"]["embedding"], np.float64)
    users, items = model.encode(params, context())
    np.testing.assert_allclose(jnp.concatenate([users, items]), expected, atol=1e-6)
    assert np.isfinite(users[-1]).all()  # a user and an item without interactions
    assert np.isfinite(items[-1]).all()


@pytest.mark.parametrize("combine", sorted(LAYER_WEIGHTS))
def test_loss_and_gradient_equal_those_of_a_dense_matrix(combine):
    config = dataclasses.replace(BASE, combine=combine, regularization=0.1)
    model, rows = LightGCN(config, NUM_USERS, NUM_ITEMS), batch()
    params, _ = model.init(jax.random.key(0), context())
    matrix = jnp.asarray(polynomial(combine), jnp.float32)

    def dense(table):
        user, positive, negative = (
            rows[key][:13] + offset
            for key, offset in (("user_ids", 0), ("item_ids", NUM_USERS), ("negative_item_ids", NUM_USERS))
        )
        nodes = matrix @ table
        difference = (nodes[user] * nodes[negative]).sum(1) - (nodes[user] * nodes[positive]).sum(1)
        squares = sum((table[ids] ** 2).sum() for ids in (user, positive, negative))
        return -jnp.log(jax.nn.sigmoid(-difference)).mean() + 0.1 * 0.5 * squares / 13

    expected, by_table = jax.jit(jax.value_and_grad(dense))(params["nodes"]["embedding"])
    objective = jax.jit(jax.value_and_grad(lambda p, ctx: model.loss(p, {}, rows, ctx, RNG).total))
    actual, gradient = objective(params, context())
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient["nodes"]["embedding"], by_table, atol=1e-6)


def test_edge_dropout_follows_the_step_and_leaves_evaluation_alone():
    config = dataclasses.replace(BASE, edge_dropout=0.5)
    model, plain = LightGCN(config, NUM_USERS, NUM_ITEMS), LightGCN(BASE, NUM_USERS, NUM_ITEMS)
    params, _ = model.init(jax.random.key(0), context())

    compiled = jax.jit(model.loss)

    def losses(seed):
        return compiled(params, {}, batch(), context(), jax.random.key(seed)).parts["bpr"]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
    jax.tree.map(np.testing.assert_array_equal, model.encode(params, context()), plain.encode(params, context()))


@pytest.mark.parametrize("bias", [False, True])
def test_matrix_factorisation_is_bpr_over_two_tables(bias):
    model, rows = BPRMF(BPRMFConfig(dim=4, regularization=0.2, item_bias=bias), NUM_USERS, NUM_ITEMS), batch()
    params, _ = model.init(jax.random.key(0), context())
    if bias:
        params["item_bias"] = jnp.linspace(-1, 1, NUM_ITEMS)
    output = jax.jit(model.loss)(params, {}, rows, context(), RNG)
    users, items = (np.asarray(params[name]["embedding"], np.float64) for name in ("users", "items"))
    offsets = np.linspace(-1, 1, NUM_ITEMS) * bias
    terms, squares = [], 0.0
    for u, i, j in zip(*(np.asarray(rows[k])[:13] for k in ("user_ids", "item_ids", "negative_item_ids")), strict=True):
        score = [users[u] @ items[item] + offsets[item] for item in (i, j)]
        terms.append(np.log1p(np.exp(score[1] - score[0])))
        squares += 0.5 * ((users[u] ** 2).sum() + (items[i] ** 2).sum() + (items[j] ** 2).sum())
    np.testing.assert_allclose(output.parts["bpr"], np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(output.parts["l2"], 0.2 * squares / 13, rtol=1e-5)


def test_popularity_ranks_by_training_interactions():
    model = Popularity(PopularityConfig(), NUM_USERS, NUM_ITEMS)
    items = model.item_vectors(model.encode({}, context()))
    counts = np.bincount(interactions()[1], minlength=NUM_ITEMS)
    np.testing.assert_array_equal(items.bias, counts)
    assert model.user_vectors(items.bias, batch()).shape == (16, 1, items.vectors.shape[1])
    assert not PopularityConfig.trains


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (LightGCNConfig(dim=0), "model.dim: found 0"),
        (LightGCNConfig(num_layers=0), "model.num_layers: found 0"),
        (LightGCNConfig(edge_dropout=1.0), "model.edge_dropout: found 1.0"),
        (LightGCNConfig(regularization=-1.0), "model.regularization: found -1.0"),
        (BPRMFConfig(dim=-3), "model.dim: found -3"),
        (BPRMFConfig(init_std=0.0), "model.init_std: found 0.0"),
    ],
)
def test_impossible_settings_are_refused_by_field(config, field):
    with pytest.raises(UserError) as caught:
        config.validate()
    assert field in str(caught.value)
    assert "allowed" in str(caught.value)


def test_finds_planted_tastes_that_popularity_cannot():
    """Two tastes, items of both equally popular: the held-out item of a user's own taste must come before the rest."""
    num_users, num_items = 60, 40
    rng = np.random.default_rng(0)
    seen = np.stack([20 * (user % 2) + rng.choice(20, 7, replace=False) for user in range(num_users)])
    held_out, train = seen[:, 0], seen[:, 1:]
    users = np.repeat(np.arange(num_users), 6)
    ctx = Context(
        graph=jax.tree.map(jnp.asarray, build_graph(users, train.ravel(), num_users, num_items)),
        item_counts=jnp.asarray(np.bincount(train.ravel(), minlength=num_items), jnp.int32),
    )

    def mean_rank(model, params):
        encoded = model.encode(params, ctx)
        items = model.item_vectors(encoded)
        vectors = model.user_vectors(encoded, {"user_ids": jnp.arange(num_users)})[:, 0]
        scores = np.array(vectors @ items.vectors.T + items.bias[None])
        scores[users, train.ravel()] = -np.inf
        return (scores >= scores[np.arange(num_users), held_out][:, None]).sum(1).mean()

    model = LightGCN(LightGCNConfig(dim=8, num_layers=2), num_users, num_items)
    params, extra = model.init(jax.random.key(0), ctx)
    optimizer = optax.adam(0.02)

    @jax.jit
    def train_model(params, ctx):
        def step(carry, rng):
            params, state = carry
            rows = {
                "user_ids": jnp.asarray(users, jnp.int32),
                "item_ids": jnp.asarray(train.ravel(), jnp.int32),
                "negative_item_ids": jax.random.randint(rng, users.shape, 0, num_items),
                "mask": jnp.ones(users.shape, bool),
            }
            gradient = jax.grad(lambda p: model.loss(p, extra, rows, ctx, rng).total)(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(jax.random.key(1), 100))[0][0]

    trained = mean_rank(model, train_model(params, ctx))
    popular = mean_rank(Popularity(PopularityConfig(), num_users, num_items), {})
    # Chance among the 34 unseen items is 17.5; among the 14 of one's own taste 7.5.
    assert popular > 15
    assert trained < 9
