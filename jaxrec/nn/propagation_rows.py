"""The last layer at a batch's rows alone: a small sparse product built on the device from the graph's own rows.

A training step reads the last layer at a few thousand of its nodes, which touch a sixth or so of the edges. The
sub-matrix of these rows is cut out in the compiled step under a static bound on its edges. Where a batch touches more,
the whole product is taken instead: the bound decides about speed, never about a value.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrec.nn.graph import Graph
from jaxrec.nn.propagation_backends import Halves, csr_product, multiply

_CHUNK = 8


def product_rows(graph: Graph, nodes: Halves, rows: jax.Array) -> jax.Array:
    """(A x)[rows], [R, D], for x given as users and items; rows: [R] int32 nodes."""

    def whole() -> jax.Array:
        return take_rows(graph, multiply(graph, nodes), rows)

    if graph.backend != "bcsr" or rows.shape[0] * 4 > graph.num_nodes:
        return whole()
    users, items = nodes
    bound = graph.num_edges // 2 // _CHUNK
    user_rows = _cut_rows(jnp.asarray(graph.user_indptr), jnp.where(rows < graph.num_users, rows, graph.num_users))
    item_rows = _cut_rows(
        jnp.asarray(graph.item_indptr),
        jnp.where(rows < graph.num_users, graph.num_items, rows - graph.num_users),
    )

    def restricted() -> jax.Array:
        of_users = _cut_product(user_rows, graph.user_values, graph.user_items, items, bound)
        of_items = _cut_product(item_rows, graph.item_values, graph.item_users, users, bound)
        return jnp.where((rows < graph.num_users)[:, None], of_users, of_items)

    return jax.lax.cond(jnp.maximum(user_rows[2][-1], item_rows[2][-1]) <= bound, restricted, whole)


def take_rows(graph: Graph, nodes: Halves, rows: jax.Array) -> jax.Array:
    """Rows [R, D] of users and items that stand apart."""
    users, items = nodes
    from_users = users[jnp.minimum(rows, graph.num_users - 1)]
    from_items = items[jnp.maximum(rows - graph.num_users, 0)]
    return jnp.where((rows < graph.num_users)[:, None], from_users, from_items)


def add_rows(graph: Graph, nodes: Halves, rows: jax.Array, updates: jax.Array) -> Halves:
    """Users and items with updates [R, D] added at rows [R]."""
    users, items = nodes
    item_rows = jnp.where(rows < graph.num_users, graph.num_items, rows - graph.num_users)
    return users.at[rows].add(updates, mode="drop"), items.at[item_rows].add(updates, mode="drop")


def _cut_rows(indptr: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Rows sorted, each once: first edge [R], degree [R] (0 for a repeat or an absent row), chunks before and up to
    each row [R+1], and where each given row is found [R]."""
    ordered = jnp.sort(rows)
    first = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    present = first & (ordered < indptr.shape[0] - 1)
    start = indptr[jnp.minimum(ordered, indptr.shape[0] - 2)]
    degree = jnp.where(present, indptr[jnp.minimum(ordered, indptr.shape[0] - 2) + 1] - start, 0)
    chunks = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(-(-degree // _CHUNK), dtype=jnp.int32)])
    return start, degree, chunks, jnp.searchsorted(ordered, rows, side="left", method="scan_unrolled")


def _cut_product(cut, values, columns, table: jax.Array, bound: int) -> jax.Array:
    start, degree, chunks, found = cut
    num_rows = start.shape[0]
    # The row that owns each chunk: one mark at each row's first chunk, summed up. Chunks, not edges, keep this short.
    marks = jnp.zeros(bound + 1, jnp.int32).at[jnp.minimum(chunks[1:-1], bound)].add(1)
    owner = jnp.cumsum(marks[:bound], dtype=jnp.int32)
    inside = (jnp.arange(bound, dtype=jnp.int32) - chunks[owner])[:, None] * _CHUNK + jnp.arange(_CHUNK)[None, :]
    edge = jnp.minimum(start[owner][:, None] + inside, columns.shape[0] - 1)
    real = inside < degree[owner][:, None]
    cut_values = jnp.where(real, jnp.asarray(values)[edge], 0).reshape(-1)
    cut_columns = jnp.asarray(columns)[edge].reshape(-1)
    product = csr_product(cut_values, cut_columns, chunks * _CHUNK, num_rows, table)
    return product[found]
