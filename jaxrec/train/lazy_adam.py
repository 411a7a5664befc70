"""Adam that leaves a row of an embedding table alone, and its moments, in a step that did not read it."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

TABLES = re.compile("(^|/|_)embedding$")
"""Paths of the parameters that are tables: a row for each user, item or value of a field."""


def lazy_adam(
    learning_rate: optax.ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam whose step and moments of a table's row stay as they are where all of the row's gradient is 0.

    Of all other parameters, and of a table whose rows all have a gradient, it is Adam (Kingma and Ba, ICLR 2015), as
    optax has it, and its state is that of optax.adam. Otherwise it is not: Adam goes on moving a row along its mean
    after the last gradient, and lets both means decay; here they wait, corrected for the steps that all parameters
    have taken. So do LazyAdam and SparseAdam of other libraries.
    """
    return optax.chain(scale_by_lazy_adam(b1, b2, eps), optax.scale_by_learning_rate(learning_rate))


def scale_by_lazy_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """The same before the learning rate: gradients to steps."""
    dense = optax.scale_by_adam(b1, b2, eps)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        moved: Any
        steps, moved = dense.update(updates, state, params)
        moments = moved.mu, moved.nu
        read = jax.tree_util.tree_map_with_path(_rows_read, updates)
        zeros = jax.tree.map(jnp.zeros_like, steps)
        steps = jax.tree.map(jnp.where, read, steps, zeros)
        mu, nu = (
            jax.tree.map(jnp.where, read, new, old) for new, old in zip(moments, (state.mu, state.nu), strict=True)
        )
        return steps, moved._replace(mu=mu, nu=nu)

    return optax.GradientTransformation(dense.init, update)


def _rows_read(path: tuple[Any, ...], gradient: jax.Array) -> jax.Array:
    """[R, 1] bool, the rows of a table with a gradient; True of what is no table."""
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    if gradient.ndim != 2 or not TABLES.search(name):
        return jnp.ones((1,) * gradient.ndim, bool)
    return (gradient != 0).any(1, keepdims=True)
