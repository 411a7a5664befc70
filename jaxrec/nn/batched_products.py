"""Products with the adjacency under `jax.vmap`, as several seeds of one experiment ask for them.

Left to itself, vmap turns a sparse product into a scatter. Where every member of the batch has the same graph, the
batch is folded into the features instead: the edges are read once for all of them. Where each has a graph of its own
(edge dropout), the members' products follow one another. Neither rule has a derivative: what calls these functions
has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxrec.nn.graph import Graph
from jaxrec.nn.propagation_backends import Halves, multiply


def one_by_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which under vmap is called for every member of the batch by itself."""
    called = custom_vmap(function)

    @called.def_vmap
    def rule(size: int, batched: list[Any], *arguments: Any) -> tuple[Any, Any]:
        def member(index: int) -> Any:
            taken = jax.tree.map(lambda leaf, has: leaf[index] if has else leaf, arguments, tuple(batched))
            return called(*taken)

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(member(index) for index in range(size)))
        return stacked, jax.tree.map(lambda _: True, stacked)

    return called


_multiply_one_by_one = one_by_one(multiply)


@custom_vmap
def folded_multiply(graph: Graph, nodes: Halves) -> Halves:
    """A applied to users [U, D] and items [I, D] (`propagation_backends.multiply`)."""
    return multiply(graph, nodes)


@folded_multiply.def_vmap
def _rule(size: int, batched: list[Any], graph: Graph, nodes: Halves) -> tuple[Halves, tuple[bool, bool]]:
    of_graph, of_nodes = batched
    if any(jax.tree.leaves(of_graph)):
        axes = jax.tree.map(lambda has: 0 if has else None, (of_graph, of_nodes))
        return jax.vmap(_multiply_one_by_one, axes, axis_size=size)(graph, nodes), (True, True)

    def fold(half: jax.Array, has: bool) -> jax.Array:
        half = half if has else jnp.broadcast_to(half, (size, *half.shape))
        return jnp.swapaxes(half, 0, 1).reshape(half.shape[1], -1)

    def unfold(half: jax.Array) -> jax.Array:
        return jnp.swapaxes(half.reshape(half.shape[0], size, -1), 0, 1)

    users, items = (fold(half, has) for half, has in zip(nodes, of_nodes, strict=True))
    of_users, of_items = folded_multiply(graph, (users, items))
    return (unfold(of_users), unfold(of_items)), (True, True)
