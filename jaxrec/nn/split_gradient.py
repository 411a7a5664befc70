"""One result for two losses, of which one trains a network and what it reads, the other the network alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def split_gradient(function: Callable[..., jax.Array], params: Any, *inputs: Any) -> tuple[jax.Array, jax.Array]:
    """function(params, *inputs), twice: the gradient of the second goes to the parameters, not to the inputs.

    As function(params, *stop_gradient(inputs)) beside function(params, *inputs), at the cost of one forward pass.
    """

    @jax.custom_vjp
    def both(params: Any, inputs: Any) -> tuple[jax.Array, jax.Array]:
        value = function(params, *inputs)
        return value, value

    def forward(params: Any, inputs: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
        value, pullback = jax.vjp(lambda params, inputs: function(params, *inputs), params, inputs)
        return (value, value), pullback

    def backward(pullback: Any, cotangents: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        of_both, of_network = cotangents
        return pullback(of_both + of_network)[0], pullback(of_both)[1]

    both.defvjp(forward, backward)
    return both(params, inputs)
