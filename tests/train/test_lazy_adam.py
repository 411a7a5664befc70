"""Row-lazy Adam against Adam where every row has a gradient, and against NumPy where not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.train.config import OptimizerConfig
from jaxrec.train.lazy_adam import lazy_adam
from jaxrec.train.optimizer import make_optimizer

RATE, B1, B2, EPS = 0.1, 0.9, 0.999, 1e-8


def params_of(rng):
    shapes = {"items": {"embedding": (6, 3)}, "fields": {"brand_embedding": (4, 2)}, "output": {"kernel": (6, 3)}}
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32), shapes, is_leaf=lambda x: type(x) is tuple
    )


def trained(optimizer, params, gradients):
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for gradient in gradients:
        params, state = step(params, state, gradient)
    return params, state


def test_where_every_row_has_a_gradient_it_is_adam():
    rng = np.random.default_rng(0)
    params, gradients = params_of(rng), [params_of(rng) for _ in range(4)]
    gradients[1]["items"]["embedding"][2, :2] = 0  # one number of the row is not
    expected, found = (trained(make(RATE), params, gradients) for make in (optax.adam, lazy_adam))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_rows_without_a_gradient_wait_with_their_moments():
    rng = np.random.default_rng(1)
    params, gradients = params_of(rng), [params_of(rng) for _ in range(6)]
    for step, gradient in enumerate(gradients):
        for name in ("items", "fields", "output"):
            for table in gradient[name].values():
                table[np.arange(len(table)) % 3 == step % 3] = 0
                table[1] *= step in (0, 5)  # a row that is read at the beginning and at the end

    def by_numpy(table, gradients, lazy):
        table, mean, square = table.astype(np.float64), np.zeros(table.shape), np.zeros(table.shape)
        for step, gradient in enumerate(gradients, start=1):
            for row in range(len(table)):
                if lazy and not gradient[row].any():
                    continue
                mean[row] = B1 * mean[row] + (1 - B1) * gradient[row]
                square[row] = B2 * square[row] + (1 - B2) * gradient[row] ** 2
                table[row] -= RATE * (mean[row] / (1 - B1**step)) / (np.sqrt(square[row] / (1 - B2**step)) + EPS)
        return table

    found, _ = trained(lazy_adam(RATE), params, gradients)
    for group, name, lazy in (
        ("items", "embedding", True),
        ("fields", "brand_embedding", True),
        ("output", "kernel", False),
    ):
        expected = by_numpy(params[group][name], [gradient[group][name] for gradient in gradients], lazy)
        np.testing.assert_allclose(found[group][name], expected, rtol=2e-5, atol=2e-6)
        other = by_numpy(params[group][name], [gradient[group][name] for gradient in gradients], not lazy)
        assert np.abs(np.asarray(found[group][name]) - other).max() > 1e-2


def test_rows_that_no_batch_reads_never_move_whatever_the_schedule():
    config = OptimizerConfig(name="lazy_adam", schedule="cosine", warmup_steps=2, clip_norm=1.0)
    params = {"users": {"embedding": jnp.ones((4, 2))}}
    gradient = {"users": {"embedding": jnp.zeros((4, 2)).at[1].set(3.0)}}
    found, _ = trained(make_optimizer(config, 10), params, [gradient] * 5)
    table = np.asarray(found["users"]["embedding"])
    np.testing.assert_array_equal(table[[0, 2, 3]], 1.0)
    assert (table[1] < 1).all()
