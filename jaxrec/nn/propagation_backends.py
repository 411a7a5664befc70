"""One product with the normalised adjacency, A [users; items], in the three forms that a graph can ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import sparse

from jaxrec.nn.chunked_rows import chunked_product
from jaxrec.nn.graph import Graph, to_graphs_tuple

Halves = tuple[jax.Array, jax.Array]


def multiply(graph: Graph, nodes: Halves) -> Halves:
    """A applied to users [U, D] and items [I, D], by the graph's backend."""
    if graph.backend == "jraph":
        return _jraph(graph, nodes)
    of_users, of_items = {"bcsr": _bcsr, "ell": _ell}[graph.backend](graph, nodes)
    if graph.loop_values is None:
        return of_users, of_items
    loops = jnp.asarray(graph.loop_values)[:, None]
    return of_users + loops[: graph.num_users] * nodes[0], of_items + loops[graph.num_users :] * nodes[1]


def _bcsr(graph: Graph, nodes: Halves) -> Halves:
    """jax's CSR product: an Eigen kernel on the CPU. The halves are independent, and XLA runs them side by side."""
    users, items = nodes
    return (
        csr_product(graph.user_values, graph.user_items, graph.user_indptr, graph.num_users, items),
        csr_product(graph.item_values, graph.item_users, graph.item_indptr, graph.num_items, users),
    )


def csr_product(values, columns, indptr, num_rows: int, table: jax.Array, ordered: bool = True) -> jax.Array:
    """Rows by values, columns [E], indptr [num_rows+1], times table [S, D]; what lies past the last row is unread.

    ordered: the columns of a row ascend, each once.
    """
    matrix = sparse.BCSR(
        (jnp.asarray(values), jnp.asarray(columns), jnp.asarray(indptr)),
        shape=(num_rows, table.shape[0]),
        indices_sorted=ordered,
        unique_indices=ordered,
    )
    return matrix @ table


def _ell(graph: Graph, nodes: Halves) -> Halves:
    """Gathers and sums alone, for accelerators: A = D^-a A0 D^-b with the degrees taken out of the sum."""
    assert graph.user_chunks is not None  # build_graph makes both for this backend
    assert graph.item_chunks is not None
    users, items = nodes
    receiver, sender = jnp.asarray(graph.receiver_scale)[:, None], jnp.asarray(graph.sender_scale)[:, None]
    of_users = chunked_product(graph.user_chunks, items * sender[graph.num_users :])
    of_items = chunked_product(graph.item_chunks, users * sender[: graph.num_users])
    return of_users * receiver[: graph.num_users], of_items * receiver[graph.num_users :]


def _jraph(graph: Graph, nodes: Halves) -> Halves:
    """The plain form as jraph writes it, differentiated by JAX: the reference of the others."""
    result = aggregation_network()(to_graphs_tuple(graph, jnp.concatenate(nodes))).nodes
    return result[: graph.num_users], result[graph.num_users :]


def aggregation_network() -> Callable[[Any], Any]:
    """jraph.GraphNetwork that sums, at each node, the senders' rows times the edges [2E, 1]."""
    import jraph

    def message(edges: Any, senders: Any, receivers: Any, globals_: Any) -> Any:
        return edges * senders

    def receive(nodes: Any, sent: Any, received: Any, globals_: Any) -> Any:
        return received

    return jraph.GraphNetwork(update_edge_fn=message, update_node_fn=receive)
