"""Capsule interests: a user's items routed to K vectors by how much each agrees with them, all users at once.

Dynamic routing (Sabour et al., NIPS 2017) over the behaviour of a user (MIND, CIKM 2019; ComiRec-DR, KDD 2020; UMI),
with a gate on each item as UiM has it (its Eq. 5 to 8). Votes of a user's items are made by one of three maps; where
one map serves all positions, routing needs no votes: an aggregate of items, mapped, is the aggregate of their votes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp

Update = Literal["assign", "accumulate"]
Start = Literal["normal", "zeros"]

EPSILON = 1e-9
"""Under the square root of `squash`, so that its gradient at a vector of zeros is finite."""


@flax.struct.dataclass
class Routed:
    """capsules: [B, K, d] float32, each shorter than 1, zeros where nothing was routed.

    coupling: [B, L, K] float32, how much of each item went to each capsule: sums to 1 over K, zeros where masked.
    """

    capsules: jax.Array
    coupling: jax.Array


def squash(vectors: jax.Array) -> jax.Array:
    """|h|^2 / (1 + |h|^2) h / |h| of vectors [..., d], with a gradient of zero at zero (UiM Eq. 8)."""
    squares = (vectors * vectors).sum(-1, keepdims=True)
    return vectors * (squares / (1.0 + squares) * jax.lax.rsqrt(squares + EPSILON))


def routing_logits(rng: jax.Array, tokens: jax.Array, num_capsules: int, start: Start = "normal") -> jax.Array:
    """First logits [B, L, K] float32 of items in tokens [B, L] int32: zeros, or drawn from N(0, 1).

    A draw depends on the key and the token alone: neither padding, nor the order of items, nor other users change it.
    With a key for each step of training and one fixed key for evaluation, the same history has the same interests
    whenever it is evaluated (UMI draws anew there, too).
    """
    shape = (*tokens.shape, num_capsules)
    if start == "zeros":
        return jnp.zeros(shape)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(rng, tokens.reshape(-1))
    return jax.vmap(lambda key: jax.random.normal(key, (num_capsules,)))(keys).reshape(shape)


def position_votes(items: jax.Array, kernel: jax.Array) -> jax.Array:
    """Votes [B, K, L, d] of items [B, L, D] by maps for each position and capsule, [L, K, D, d] (ComiRec-DR)."""
    length, num_capsules, _, dim = kernel.shape
    # One product a position, for all capsules at once.
    columns = kernel.swapaxes(1, 2).reshape(length, -1, num_capsules * dim)
    votes = jnp.einsum("lbf,lfe->lbe", items.swapaxes(0, 1), columns)
    return votes.reshape(length, -1, num_capsules, dim).transpose(1, 2, 0, 3)


def route(
    votes: jax.Array,
    mask: jax.Array,
    logits: jax.Array,
    gate: jax.Array | None = None,
    *,
    iterations: int = 3,
    update: Update = "assign",
    detach: bool = True,
) -> Routed:
    """Capsules of votes [B, K, L, d] float32, finite also where masked.

    mask: [B, L] bool, True = real. logits: [B, L, K] float32, the first ones. gate: [B, L] float32, the weight of each
    item in the aggregate; it does not enter the logits (Eq. 5 and 7). update: logits become the agreement of votes and
    capsules (assign, Eq. 7), or gain it (accumulate: Sabour, MIND, ComiRec). detach: votes and gates get their gradient
    through the last iteration alone. A masked item has no weight; the softmax over capsules is taken before (Eq. 6).
    """

    def agree(votes: jax.Array, capsules: jax.Array) -> jax.Array:
        return jnp.einsum("bkld,bkd->bkl", votes, capsules)

    return _route(_weigh, agree, votes, mask, logits, gate, iterations, update, detach)


def route_items(
    items: jax.Array,
    kernel: jax.Array,
    mask: jax.Array,
    logits: jax.Array,
    gate: jax.Array | None = None,
    *,
    iterations: int = 3,
    update: Update = "assign",
    detach: bool = True,
) -> Routed:
    """As `route`, of the votes that kernel makes of items [B, L, D], none of which is ever held.

    kernel: [K, D, d], a map for each capsule (UiM, UMI), or [D, d], one for all (MIND). sum_i c_ij W_j e_i is
    W_j sum_i c_ij e_i, and the agreement (W_j e_i) . s_j is e_i . (W_j^T s_j): with L items a user that is L times less
    to multiply than mapping each of them.
    """

    def aggregate(inputs: tuple[jax.Array, jax.Array], weights: jax.Array) -> jax.Array:
        return _map(jnp.einsum("bkl,blf->bkf", weights, inputs[0]), inputs[1])

    def agree(inputs: tuple[jax.Array, jax.Array], capsules: jax.Array) -> jax.Array:
        return jnp.einsum("bkf,blf->bkl", _map(capsules, inputs[1].swapaxes(-1, -2)), inputs[0])

    return _route(aggregate, agree, (items, kernel), mask, logits, gate, iterations, update, detach)


def _map(vectors: jax.Array, kernel: jax.Array) -> jax.Array:
    """Vectors [B, K, D] by a map for each k, [K, D, d], or by one for all, [D, d]: [B, K, d]."""
    if kernel.ndim == 2:
        return vectors @ kernel
    return jnp.einsum("kbf,kfd->kbd", vectors.swapaxes(0, 1), kernel).swapaxes(0, 1)


@jax.custom_vjp
def _weigh(votes: jax.Array, weights: jax.Array) -> jax.Array:
    """Sum over items of votes [B, K, L, d] by weights [B, K, L]: [B, K, d].

    The gradient of the votes is an outer product, which the transpose of the einsum leaves to a matrix product with
    nothing to sum; on a CPU that takes three times as long as the whole routing.
    """
    return jnp.einsum("bkl,bkld->bkd", weights, votes)


def _weigh_forward(votes: jax.Array, weights: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _weigh(votes, weights), (votes, weights)


def _weigh_backward(kept: tuple[jax.Array, jax.Array], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    votes, weights = kept
    return weights[..., None] * cotangent[:, :, None, :], jnp.einsum("bkd,bkld->bkl", cotangent, votes)


_weigh.defvjp(_weigh_forward, _weigh_backward)


def _route(
    aggregate: Callable[[Any, jax.Array], jax.Array],
    agree: Callable[[Any, jax.Array], jax.Array],
    inputs: Any,
    mask: jax.Array,
    logits: jax.Array,
    gate: jax.Array | None,
    iterations: int,
    update: Update,
    detach: bool,
) -> Routed:
    """The iterations over what gives the votes, whatever that is; inside, capsules stand before items: [B, K, L]."""
    weight = (mask if gate is None else mask * gate)[:, None, :]
    early, early_weight = jax.lax.stop_gradient((inputs, weight)) if detach else (inputs, weight)

    def iterate(logits: jax.Array, _: None) -> tuple[jax.Array, None]:
        weights = jax.nn.softmax(logits, axis=1) * early_weight
        agreement = agree(early, squash(aggregate(early, weights)))
        return (logits + agreement if update == "accumulate" else agreement), None

    logits, _ = jax.lax.scan(iterate, logits.swapaxes(1, 2), None, length=iterations - 1, unroll=True)
    coupling = jax.nn.softmax(logits, axis=1)
    capsules = squash(aggregate(inputs, coupling * weight))
    return Routed(capsules, (coupling * mask[:, None, :]).swapaxes(1, 2))
