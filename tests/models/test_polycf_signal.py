"""PolyCF in signal form against dense matrices in float64, built from the interactions alone."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrec.assembly import make_context
from jaxrec.config import Experiment
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.lmmrec_config import LMMRecConfig
from jaxrec.models.polycf_signal import PolyCFSignal, PolyCFSignalConfig, gram_powers
from jaxrec.nn.graph import build_graph, edges_of
from jaxrec.nn.singular_vectors import right_singular_vectors
from tests.eval.given import random_dataset
from tests.models.world import (
    NUM_ITEMS,
    NUM_SINGULAR_VECTORS,
    NUM_USERS,
    batch,
    context,
    dense_adjacency,
    interactions,
    singular_vectors,
)

RNG = jax.random.key(1)
CONFIG = PolyCFSignalConfig(exponents=(0.0, 0.3, 1.0), num_singular_vectors=NUM_SINGULAR_VECTORS)
ALL = {"user_ids": jnp.arange(NUM_USERS), "mask": jnp.ones(NUM_USERS, bool)}


def dense_interactions(hidden=()):
    """R [U, I] float64 without the hidden pairs."""
    matrix = np.zeros((NUM_USERS, NUM_ITEMS))
    matrix[interactions()] = 1.0
    for user, item in hidden:
        matrix[user, item] = 0.0
    return matrix


def dense_terms(exponents, degree, hidden=()):
    """r_u (G_gamma)^k for all users, [G, K + 1, U, I] float64; degrees are those of all interactions."""
    whole, matrix = dense_interactions(), dense_interactions(hidden)
    of_users, of_items = (np.maximum(whole.sum(axis), 1) for axis in (1, 0))
    terms = []
    for gamma in exponents:
        normalised = of_users[:, None] ** -gamma * matrix * of_items[None, :] ** (gamma - 1)
        gram = normalised.T @ normalised
        terms.append([matrix @ np.linalg.matrix_power(gram, k) for k in range(degree + 1)])
    return np.array(terms)


def dense_scores(params, config, hidden=()):
    weights = params["filter"]
    theta = np.asarray(weights["coefficients"], np.float64)
    scores = np.einsum("gk,gkui->ui", theta, dense_terms(config.exponents, config.degree, hidden))
    if config.num_singular_vectors:
        vectors = singular_vectors()
        scores += float(weights["low_pass"]) * dense_interactions(hidden) @ vectors @ vectors.T
    return scores


def started(config=CONFIG):
    model = PolyCFSignal(config, NUM_USERS, NUM_ITEMS)
    params, _ = model.init(jax.random.key(0), context())
    params["filter"]["coefficients"] += 0.3 * jax.random.normal(RNG, params["filter"]["coefficients"].shape)
    return model, params


@pytest.mark.parametrize("num_singular_vectors", [0, NUM_SINGULAR_VECTORS])
def test_scores_are_the_dense_filters(num_singular_vectors):
    config = dataclasses.replace(CONFIG, num_singular_vectors=num_singular_vectors)
    model, params = started(config)
    assert ("low_pass" in params["filter"]) == bool(num_singular_vectors)
    scores = jax.jit(model.score)(model.encode(params, context()), ALL, None)
    np.testing.assert_allclose(scores, dense_scores(params, config), rtol=1e-4, atol=1e-4)
    assert np.all(np.asarray(scores[-1]) == 0)  # a user without interactions has no signal


@pytest.mark.parametrize("backend", ["bcsr", "ell", "jraph"])
def test_every_backend_gives_the_same_powers(backend):
    graph = build_graph(*interactions(), NUM_USERS, NUM_ITEMS, backend=backend)
    signals = jnp.asarray(dense_interactions().T, jnp.float32)
    powers = jnp.stack(list(gram_powers(graph, signals, (0.2, 0.5), 2)))  # [K + 1, I, U, G]
    expected = np.transpose(dense_terms((0.2, 0.5), 2), (1, 3, 2, 0))
    np.testing.assert_allclose(powers, expected, rtol=1e-4, atol=1e-4)


def test_the_first_power_alone_is_the_linear_filter():
    """GF-CF's item-item operator D_I^-1/2 R^T D_U^-1 R D_I^-1/2."""
    config = dataclasses.replace(CONFIG, exponents=(0.3, 0.5), degree=2)
    model, params = started(config)
    params["filter"] = {"coefficients": jnp.zeros((2, 3)).at[1, 1].set(1.0), "low_pass": jnp.zeros(())}
    normalised = dense_adjacency()[:NUM_USERS, NUM_USERS:]
    expected = dense_interactions() @ normalised.T @ normalised
    scores = model.score(model.encode(params, context()), ALL, None)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hide", [False, True])
def test_loss_and_gradients_equal_those_of_dense_scores(hide):
    config = dataclasses.replace(CONFIG, hide_positives=hide)
    model, params = started(config)
    rows = batch()
    users, positives, negatives = (
        np.asarray(rows[name])[:13] for name in ("user_ids", "item_ids", "negative_item_ids")
    )
    hidden = list(zip(users, positives, strict=True)) if hide else []

    def dense(theta, low_pass):
        scores = dense_scores({"filter": {"coefficients": theta, "low_pass": low_pass}}, config, hidden)
        return np.log1p(np.exp(scores[users, negatives] - scores[users, positives])).mean()

    objective = jax.jit(jax.value_and_grad(lambda params, ctx: model.loss(params, {}, rows, ctx, RNG).total))
    actual, gradient = objective(params, context())
    theta, low_pass = np.asarray(params["filter"]["coefficients"], np.float64), float(params["filter"]["low_pass"])
    np.testing.assert_allclose(actual, dense(theta, low_pass), rtol=1e-5)
    by_theta, step = np.zeros_like(theta), 1e-5
    for place in itertools.product(*map(range, theta.shape)):
        moved = np.zeros_like(theta)
        moved[place] = step
        by_theta[place] = (dense(theta + moved, low_pass) - dense(theta - moved, low_pass)) / (2 * step)
    by_low_pass = (dense(theta, low_pass + step) - dense(theta, low_pass - step)) / (2 * step)
    np.testing.assert_allclose(gradient["filter"]["coefficients"], by_theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gradient["filter"]["low_pass"], by_low_pass, rtol=1e-3, atol=1e-6)


def test_a_positive_that_is_hidden_tells_nothing_of_itself():
    """The power 0 is the interaction itself: it has a gradient only where the filter sees what it is asked for."""
    by_power_zero = {}
    for hide in (False, True):
        model, params = started(dataclasses.replace(CONFIG, hide_positives=hide))
        gradient = jax.jit(jax.grad(lambda params, model=model: model.loss(params, {}, batch(), context(), RNG).total))
        by_power_zero[hide] = gradient(params)["filter"]["coefficients"][:, 0]
    assert (by_power_zero[False] < -0.1).all()
    # Only negatives are left in a signal: some of this batch are no true ones.
    assert (by_power_zero[True] >= 0).all()


def test_edges_are_found_and_absent_pairs_are_told():
    graph = context().graph
    users, items = np.divmod(np.arange(NUM_USERS * NUM_ITEMS), NUM_ITEMS)
    places = np.asarray(edges_of(graph, jnp.asarray(users), jnp.asarray(items)))
    present = dense_interactions()[users, items] > 0
    np.testing.assert_array_equal(places < graph.num_edges, present)
    np.testing.assert_array_equal(np.asarray(graph.user_items)[places[present]], items[present])
    assert places[present].tolist() == list(range(graph.num_edges))


def test_singular_vectors_are_those_of_the_normalised_interactions():
    graph = build_graph(*interactions(), NUM_USERS, NUM_ITEMS)
    vectors = right_singular_vectors(graph, NUM_SINGULAR_VECTORS)
    expected = singular_vectors()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.abs((vectors * expected).sum(0)), 1, atol=1e-5)  # equal but for their signs
    np.testing.assert_array_equal(vectors, right_singular_vectors(graph, NUM_SINGULAR_VECTORS))


def test_learns_that_neighbours_tell_and_beats_its_first_filter():
    """Two tastes: a user's items come from one half of the catalogue. Held-out items are told by the neighbours."""
    rng = np.random.default_rng(4)
    users = np.repeat(np.arange(40), 6)
    items = rng.integers(0, 15, len(users)) + 15 * (users % 2)
    graph = build_graph(users, items, 40, 30)
    ctx = jax.tree.map(jnp.asarray, Context(graph=graph, item_counts=np.ones(30, np.int32)))
    config = PolyCFSignalConfig(exponents=(0.5,), num_singular_vectors=0)
    model = PolyCFSignal(config, 40, 30)
    params, _ = model.init(RNG, ctx)
    # The power 1 begins on the wrong side.
    params["filter"]["coefficients"] = jnp.array([[0.0, -0.2, 0.0, 0.0]])
    optimizer = optax.adam(0.1)

    @jax.jit
    def train(params):
        def step(carry, index):
            params, state = carry
            pick = jax.random.randint(jax.random.fold_in(RNG, index), (24,), 0, len(users))
            user, item = jnp.asarray(users, jnp.int32)[pick], jnp.asarray(items, jnp.int32)[pick]
            rows = {
                "user_ids": user,
                "item_ids": item,
                "negative_item_ids": (item + 15) % 30,
                "mask": jnp.ones(24, bool),
            }
            loss, gradient = jax.value_and_grad(lambda params: model.loss(params, {}, rows, ctx, RNG).total)(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(100))[1]

    losses = train(params)
    assert losses[0] > np.log(2)
    assert losses[-10:].mean() < 0.3


def test_the_context_holds_as_many_vectors_as_the_config_asks_for():
    dataset = random_dataset(np.random.default_rng(2), num_users=30, num_items=20)

    def made(count):
        config = dataclasses.replace(CONFIG, num_singular_vectors=count)
        return make_context(Experiment(config), dataset, None, None).item_singular_vectors

    assert made(0) is None
    assert made(5).shape == (20, 5)
    with pytest.raises(UserError, match=r"^model\.num_singular_vectors: found 20, allowed: below 20 for tiny$"):
        made(20)


def test_lmmrec_refuses_a_base_without_embeddings():
    with pytest.raises(UserError, match=r"^model\.base: found polycf_signal, allowed: lightgcn, weightedgcl, polycf "):
        LMMRecConfig(base=CONFIG).validate()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"degree": 0}, "model.degree: found 0"),
        ({"num_singular_vectors": -1}, "model.num_singular_vectors: found -1"),
        ({"exponents": (-0.1,)}, "model.exponents: found (-0.1,)"),
    ],
)
def test_impossible_settings_are_refused_by_field(change, field):
    PolyCFSignalConfig().validate()
    with pytest.raises(UserError) as caught:
        dataclasses.replace(CONFIG, **change).validate()
    assert str(caught.value).startswith(field)
    assert "allowed" in str(caught.value)
