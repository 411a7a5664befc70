"""Gradients of a table of few rows: many rows of a batch added to each. Some versions of XLA make that a cliff."""

from __future__ import annotations

import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings

DESCRIPTION = "rows added to few places (the gradient of a small table) against as many added to many places"
MANY, FEW, ONE_HOT = "scatter-add to many rows", "scatter-add to few rows", "few rows as a product with one-hot ids"
ROWS, DIM = {"full": 65_536, "small": 512}, 64
FEW_ROWS, MANY_ROWS = 5, 65_536
CLIFF = 20.0
TOLERANCE = 1e-4


def run(settings: Settings) -> dict:
    """Seconds a call. jaxlib 0.10.2 to 0.11.0 falls off a cliff on NVIDIA GPUs unless jaxrec.compiler_flags helps."""
    num_rows = ROWS[settings.scale]
    rng = np.random.default_rng(0)
    updates = jnp.asarray(rng.normal(size=(num_rows, DIM)).astype(np.float32))
    few = jnp.asarray(rng.integers(0, FEW_ROWS, num_rows).astype(np.int32))
    many = jnp.asarray(rng.integers(0, MANY_ROWS, num_rows).astype(np.int32))
    to_few, to_many, by_product = jax.jit(_scatter(FEW_ROWS)), jax.jit(_scatter(MANY_ROWS)), jax.jit(_product)
    added, multiplied = np.asarray(to_few(few, updates)), np.asarray(by_product(few, updates))
    error = float(np.abs(added - multiplied).max() / np.abs(multiplied).max())
    times = interleave(
        {
            MANY: lambda: jax.block_until_ready(to_many(many, updates)),
            FEW: lambda: jax.block_until_ready(to_few(few, updates)),
            ONE_HOT: lambda: jax.block_until_ready(by_product(few, updates)),
        },
        settings,
    )
    checks = {"sums_equal": error <= TOLERANCE}
    if settings.scale == "full":
        checks[f"few rows take less than {CLIFF:g}x as long as many"] = times[FEW]["min"] < CLIFF * times[MANY]["min"]
    return {
        "unit": "seconds a call",
        "rows_added": num_rows,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "variants": times,
        "ratios": ratios(times, FEW),
        "relative_error": error,
        "checks": checks,
    }


def _scatter(rows: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda ids, updates: jnp.zeros((rows, updates.shape[1]), updates.dtype).at[ids].add(updates)


def _product(ids: jax.Array, updates: jax.Array) -> jax.Array:
    one_hot = jax.nn.one_hot(ids, FEW_ROWS, dtype=updates.dtype)
    return jnp.matmul(one_hot.T, updates, precision=jax.lax.Precision.HIGHEST)
