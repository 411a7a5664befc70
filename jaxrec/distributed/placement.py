"""Arrays onto devices of which some may belong to other processes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def place(tree: Any, shardings: Any) -> Any:
    """Every leaf with its sharding. shardings: one for all leaves, or a tree of them.

    What comes from the host must be the same in every process; each puts the parts of its own devices there, and
    nothing is sent (jax.device_put would compare all of it among the processes first).
    """
    if isinstance(shardings, jax.sharding.Sharding):
        single = shardings
        shardings = jax.tree.map(lambda _: single, tree)
    if all(sharding.is_fully_addressable for sharding in jax.tree.leaves(shardings)):
        return jax.device_put(tree, shardings)
    return jax.tree.map(_put, tree, shardings)


def _put(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf if leaf.sharding == sharding else jax.device_put(leaf, sharding)
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
