"""Dropout from 16-bit random numbers, which halves what drawing them costs."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def dropout(rng: jax.Array, values: jax.Array, rate: float) -> jax.Array:
    """Each value is 0 with probability `rate` (to 2^-16), the others are scaled up so that the mean stays.

    values: float of any shape; rate: static, from 0 to below 1. Deterministic in rng (Srivastava et al., JMLR 2014).
    """
    dropped = round(rate * 2**16)
    if dropped == 0:
        return values
    size = math.prod(values.shape)
    words = jax.random.bits(rng, ((size + 1) // 2,), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:size].reshape(values.shape)
    return jnp.where(halves >= dropped, values * (2**16 / (2**16 - dropped)), 0)
