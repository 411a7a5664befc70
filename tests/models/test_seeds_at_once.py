"""Every model under `jax.vmap`, as several seeds in one program ask for it: each member as by itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.models.registry import build_model
from tests.models.world import NUM_ITEMS, NUM_USERS, SMALL, context, training_batch

NAMES = [name for name, config in sorted(SMALL.items()) if config.trains]


@pytest.mark.slow  # tests/bench/test_seeds_at_once.py trains LightGCN so
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_of_two_seeds_are_those_of_each(name):
    model, ctx, batch = build_model(SMALL[name], NUM_USERS, NUM_ITEMS), context(), training_batch(SMALL[name])

    def gradient(params, extra, batch, rng, ctx):
        def objective(params):
            output = model.loss(params, extra, batch, ctx, rng)
            return output.total, (output.parts, output.extra)

        return jax.value_and_grad(objective, has_aux=True)(params)

    def of_seed(seed):
        # Away from the first values, so that no part stands at its optimum.
        noise = jax.random.normal(jax.random.key(seed + 9), (1000,))
        params, extra = jax.jit(model.init)(jax.random.key(seed), ctx)
        return jax.tree.map(lambda leaf: leaf + 0.3 * jnp.resize(noise, leaf.shape), params), extra

    states, keys = [of_seed(seed) for seed in range(2)], [jax.random.key(seed) for seed in range(2)]
    batches = [batch, jax.tree.map(functools.partial(jnp.roll, shift=1, axis=0), batch)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(states, batches, keys, strict=True))
    (params, extra), given, rngs = stacked
    together = jax.jit(jax.vmap(gradient, (0, 0, 0, 0, None)))(params, extra, given, rngs, ctx)
    single = jax.jit(gradient)
    for place, ((params, extra), given, rng) in enumerate(zip(states, batches, keys, strict=True)):
        expected = single(params, extra, given, rng, ctx)
        for found, leaf in zip(jax.tree.leaves(together), jax.tree.leaves(expected), strict=True):
            scale = max(1.0, float(jnp.abs(leaf).max()))
            np.testing.assert_allclose(found[place], leaf, rtol=1e-5, atol=1e-5 * scale)
