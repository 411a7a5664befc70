"""The choice of the next token: greedy, by temperature, within a nucleus, within what a mask allows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Choice(NamedTuple):
    """How each row of a batch chooses: [B] each.

    temperature: float32, 0 is greedy. top_p: float32, the share of probability that the nucleus holds, 1 is all.
    seed, request: uint32; with the token's place in the answer they are all that a row's randomness depends on.
    """

    temperature: jax.Array
    top_p: jax.Array
    seed: jax.Array
    request: jax.Array


def choose(logits: jax.Array, choice: Choice, place: jax.Array, allowed: jax.Array | None = None) -> jax.Array:
    """Tokens [B] int32 out of logits [B, V]. place: of the token in the answer, from 0. allowed: [B, V] bool."""
    if allowed is not None:
        logits = jnp.where(allowed, logits, -jnp.inf)
    greedy = jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def draw() -> jax.Array:
        # A greedy row divides by 1 and is not read.
        heat = jnp.where(choice.temperature > 0, choice.temperature, 1.0)
        scaled = logits / heat[:, None]
        kept = jax.lax.cond(jnp.any(choice.top_p < 1), lambda: nucleus(scaled, choice.top_p), lambda: scaled)
        drawn = jnp.argmax(kept + _noise(choice, place, logits.shape[1]), axis=-1).astype(jnp.int32)
        return jnp.where(choice.temperature > 0, drawn, greedy)

    return jax.lax.cond(jnp.any(choice.temperature > 0), draw, lambda: greedy)


def nucleus(logits: jax.Array, top_p: jax.Array) -> jax.Array:
    """Logits [B, V], -inf outside the fewest likeliest tokens that hold top_p [B] (Holtzman et al., 2020).

    Tokens as likely as the last of them stay too.
    """
    ordered = jnp.sort(logits, axis=-1, descending=True)
    shares = jax.nn.softmax(ordered, axis=-1)
    before = jnp.cumsum(shares, axis=-1) - shares
    # The likeliest token stays whatever top_p is.
    inside = (before < top_p[:, None]).at[:, 0].set(True)
    least = jnp.min(jnp.where(inside, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)


def _noise(choice: Choice, place: jax.Array, vocab_size: int) -> jax.Array:
    """Gumbel noise [B, V]: the likeliest token after adding it is a draw from the softmax."""

    def row(seed: jax.Array, request: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), request), place)
        return jax.random.gumbel(key, (vocab_size,), jnp.float32)

    return jax.vmap(row)(choice.seed, choice.request)
