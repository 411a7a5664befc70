"""Keys and values of the tokens that a decoder has seen, and who attends to whom."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrec.llm.config import DecoderConfig


class Cache(NamedTuple):
    """Keys and values of the tokens seen: [L, B, S, kv_heads, head_dim]; length: slots filled, a scalar int32.

    A call writes its T tokens into the slots from length on, the same ones in every row. Positions are another
    matter: rows padded at the left have their own.
    """

    keys: jax.Array
    values: jax.Array
    length: jax.Array


def empty_cache(config: DecoderConfig, batch_size: int, num_slots: int) -> Cache:
    """A cache that has seen nothing."""
    shape = (config.num_layers, batch_size, num_slots, config.num_kv_heads, config.head_dim)
    return Cache(jnp.zeros(shape, config.dtype), jnp.zeros(shape, config.dtype), jnp.zeros((), jnp.int32))


def causal_mask(num_tokens: int, num_slots: int, start: jax.Array | int = 0) -> jax.Array:
    """[1, T, S] bool: token t, in slot start + t, attends to that slot and those before it."""
    slots = jnp.arange(num_slots)[None, None, :]
    return slots <= (start + jnp.arange(num_tokens))[None, :, None]
