"""A batch's rows of users and items that stand apart: taking them, adding to them, and products from and to them alone.

A training step reads the last layer at a few thousand of its nodes, which touch a sixth or so of the edges. The
sub-matrix of these rows is cut out in the compiled step under a static bound on its edges. Where a batch touches more,
the whole product is taken instead: the bound decides about speed, never about a value.

Backward the last layer's gradient is zero but at these nodes. Its product reads them from a table of a few thousand
rows that stays in the cache, all others as the one row of zeros behind it.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp

from jaxrec.nn.batched_products import folded_multiply, one_by_one
from jaxrec.nn.graph import Graph
from jaxrec.nn.propagation_backends import Halves, csr_product, multiply

_CHUNK = 8
ROOM = 2**28
"""Bytes that a product from the batch's rows may take of its own; two tables of nodes are free at that time, too."""
ROOM_AN_EDGE = 9
"""What it takes: the other end of each edge twice, and what rounds up."""


@flax.struct.dataclass
class NodeRows:
    """Rows of both halves. users, items: int32 ids, the number of users (items) for a row of the other half.

    is_user: [R] bool where the R rows are mixed, so that users and items are [R] too; None where the users come first
    and the items after them.
    """

    users: jax.Array
    items: jax.Array
    is_user: jax.Array | None = None


def node_rows(rows: jax.Array | tuple[jax.Array, jax.Array], graph: Graph) -> NodeRows:
    """Rows given as nodes [R], or as user ids and item ids apart."""
    if isinstance(rows, tuple):
        return NodeRows(*rows)
    is_user = rows < graph.num_users
    users = jnp.where(is_user, rows, graph.num_users)
    items = jnp.where(is_user, graph.num_items, rows - graph.num_users)
    return NodeRows(users, items, is_user)


def take_rows(nodes: Halves, rows: NodeRows) -> jax.Array:
    """[R, D]."""
    users, items = (
        half.at[jnp.minimum(ids, half.shape[0] - 1)].get(mode="promise_in_bounds")
        for half, ids in zip(nodes, (rows.users, rows.items), strict=True)
    )
    return _join(users, items, rows)


def add_rows(nodes: Halves, rows: NodeRows, updates: jax.Array) -> Halves:
    """Users and items with updates [R, D] added."""
    (users, items), (of_users, of_items) = nodes, _updates_of(rows, updates)
    return users.at[rows.users].add(of_users, mode="drop"), items.at[rows.items].add(of_items, mode="drop")


def _updates_of(rows: NodeRows, updates: jax.Array) -> Halves:
    """Those of users and of items; all in both where they are mixed."""
    if rows.is_user is not None:
        return updates, updates
    return updates[: rows.users.shape[0]], updates[rows.users.shape[0] :]


def product_rows(graph: Graph, nodes: Halves, rows: NodeRows) -> jax.Array:
    """(A x) at the rows, [R, D], for x given as users and items."""

    if _few(graph, rows):
        return _restricted_product(graph, nodes, rows)
    return take_rows(folded_multiply(graph, nodes), rows)


def product_from_rows(graph: Graph, rows: NodeRows, updates: jax.Array) -> Halves:
    """A x for x that is zero but for updates [R, D] at the rows, summed where a row repeats."""
    tables = 2 * graph.num_nodes * updates.shape[-1] * updates.dtype.itemsize
    if _few(graph, rows) and ROOM_AN_EDGE * graph.num_edges <= max(ROOM, tables):
        return _product_from_rows(graph, rows, updates)
    return folded_multiply(graph, add_rows(zero_nodes(graph, updates), rows, updates))


def _few(graph: Graph, rows: NodeRows) -> bool:
    """Whether so few rows are meant that products of them alone are worth their trouble."""
    return graph.backend == "bcsr" and (rows.users.shape[0] + rows.items.shape[0]) * 4 <= graph.num_nodes


def zero_nodes(graph: Graph, like: jax.Array) -> Halves:
    """Users [U, D] and items [I, D] of zeros, as wide as [..., D]."""
    dim = like.shape[-1]
    return jnp.zeros((graph.num_users, dim), like.dtype), jnp.zeros((graph.num_items, dim), like.dtype)


@one_by_one  # each member of a batch has rows of its own
def _product_from_rows(graph: Graph, rows: NodeRows, updates: jax.Array) -> Halves:
    of_users, of_items = _updates_of(rows, updates)
    user_slot, user_table = _slots(rows.users, graph.num_users, of_users)
    item_slot, item_table = _slots(rows.items, graph.num_items, of_items)
    columns = item_slot[jnp.asarray(graph.user_items)], user_slot[jnp.asarray(graph.item_users)]
    product = (
        csr_product(graph.user_values, columns[0], graph.user_indptr, graph.num_users, item_table, ordered=False),
        csr_product(graph.item_values, columns[1], graph.item_indptr, graph.num_items, user_table, ordered=False),
    )
    return product if graph.loop_values is None else add_rows(product, rows, _loops_at(graph, rows) * updates)


def _loops_at(graph: Graph, rows: NodeRows) -> jax.Array:
    """[R, 1] weight of each row's edge to itself."""
    loops = jnp.asarray(graph.loop_values)[:, None]
    return take_rows((loops[: graph.num_users], loops[graph.num_users :]), rows)


def _slots(ids: jax.Array, num_nodes: int, updates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Every node's row of a table, and that table [R + 1, D]: what is added to each of the ids [R], zeros last.

    A node that repeats has one row, whichever. An id behind the last node has one that no node reads.
    """
    count = ids.shape[0]
    places = jnp.full(num_nodes + 1, count, jnp.int32).at[ids].set(jnp.arange(count, dtype=jnp.int32))
    return places[:num_nodes], jnp.zeros((count + 1, updates.shape[1]), updates.dtype).at[places[ids]].add(updates)


@one_by_one  # each member of a batch touches edges of its own, and a condition on a batch would take both branches
def _restricted_product(graph: Graph, nodes: Halves, rows: NodeRows) -> jax.Array:
    def whole() -> jax.Array:
        return take_rows(multiply(graph, nodes), rows)

    users, items = nodes
    bound = graph.num_edges * 3 // 8 // _CHUNK
    user_cut, item_cut = _cut(graph.user_indptr, rows.users), _cut(graph.item_indptr, rows.items)
    # Outside of the condition: XLA runs the two halves side by side there, but not in a branch.
    of_users = _cut_product(user_cut, graph.user_values, graph.user_items, items, bound)
    of_items = _cut_product(item_cut, graph.item_values, graph.item_users, users, bound)
    restricted = _join(of_users, of_items, rows)
    if graph.loop_values is not None:
        restricted += _loops_at(graph, rows) * take_rows(nodes, rows)
    fits = jnp.maximum(user_cut.chunks[-1], item_cut.chunks[-1]) <= bound
    return jax.lax.cond(fits, lambda: restricted, whole)


def _join(users: jax.Array, items: jax.Array, rows: NodeRows) -> jax.Array:
    if rows.is_user is None:
        return jnp.concatenate([users, items])
    return jnp.where(rows.is_user[:, None], users, items)


@flax.struct.dataclass
class _Cut:
    """Sorted rows, each once. start, degree: [R] int32 first edge and edges, 0 edges for a repeat and for an absent
    row; chunks: [R+1] int32 chunks of edges before each row; found: [R] int32 place of each row as given."""

    start: jax.Array
    degree: jax.Array
    chunks: jax.Array
    found: jax.Array


def _cut(indptr: jax.Array, rows: jax.Array) -> _Cut:
    indptr = jnp.asarray(indptr)
    ordered = jnp.sort(rows)
    first = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    present = first & (ordered < indptr.shape[0] - 1)
    row = jnp.minimum(ordered, indptr.shape[0] - 2)
    start = indptr[row]
    degree = jnp.where(present, indptr[row + 1] - start, 0)
    chunks = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(-(-degree // _CHUNK), dtype=jnp.int32)])
    return _Cut(start, degree, chunks, jnp.searchsorted(ordered, rows, side="left", method="scan_unrolled"))


def _cut_product(cut: _Cut, values: jax.Array, columns: jax.Array, table: jax.Array, bound: int) -> jax.Array:
    """The rows' products, from their edges copied chunk by chunk; the end of a row's last chunk counts nothing."""
    # The row that owns each chunk: one mark at each row's first chunk, summed up. Chunks, not edges, keep this short.
    marks = jnp.zeros(bound + 1, jnp.int32).at[jnp.minimum(cut.chunks[1:-1], bound)].add(1)
    owner = jnp.cumsum(marks[:bound], dtype=jnp.int32)
    of_chunk = jnp.arange(bound, dtype=jnp.int32) - cut.chunks[owner]
    inside = of_chunk[:, None] * _CHUNK + jnp.arange(_CHUNK, dtype=jnp.int32)[None, :]
    edge = jnp.minimum(cut.start[owner][:, None] + inside, columns.shape[0] - 1)
    real = inside < cut.degree[owner][:, None]
    cut_values = jnp.where(real, jnp.asarray(values)[edge], 0).reshape(-1)
    cut_columns = jnp.asarray(columns)[edge].reshape(-1)
    indptr = jnp.minimum(cut.chunks, bound) * _CHUNK  # a batch beyond the bound must not be read past the end
    product = csr_product(cut_values, cut_columns, indptr, cut.start.shape[0], table, ordered=False)
    return product[cut.found]
