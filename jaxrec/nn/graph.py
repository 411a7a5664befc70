"""The bipartite interaction graph as a pytree of index arrays, passed to compiled functions as an argument."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.nn.chunked_rows import ChunkedRows, chunk_rows, slot_weights

if TYPE_CHECKING:
    import jraph

Backend = Literal["bcsr", "ell", "jraph"]
Array = Any


@flax.struct.dataclass
class Graph:
    """Users and items as nodes (users first) and each interaction as one edge in both directions.

    U users, I items, N = U + I nodes, E distinct edges. Edges are stored twice: by user and by item, sorted. The
    values are A[receiver, sender] = degree[receiver]^-a degree[sender]^-b, zero where edge dropout took the edge. With
    self loops every node is its own neighbour too, and its degree counts that.

    user_indptr: [U+1], user_items: [E] int32, user_values: [E] float32: the items of each user.
    item_indptr: [I+1], item_users: [E] int32, item_values: [E] float32: the users of each item.
    item_edges: [E] int32: the place in the user order of each edge in the item order.
    receiver_scale, sender_scale: [N] float32, degree^-a and degree^-b, 0 for a node without edges.
    transpose_scale: [N] float32 diagonal T = degree^(a-b) with A^T = T A T^-1; None where a = b and A = A^T.
    loop_values: [N] float32, A[n, n] = degree[n]^-(a+b), which edge dropout leaves as it is; None without self loops.
    user_chunks, item_chunks: the same rows in chunks of fixed width, for the backend `ell`; None otherwise.
    """

    user_indptr: Array
    user_items: Array
    user_values: Array
    item_indptr: Array
    item_users: Array
    item_values: Array
    item_edges: Array
    receiver_scale: Array
    sender_scale: Array
    transpose_scale: Array | None
    loop_values: Array | None
    user_chunks: ChunkedRows | None
    item_chunks: ChunkedRows | None
    num_users: int = flax.struct.field(pytree_node=False)
    num_items: int = flax.struct.field(pytree_node=False)
    backend: Backend = flax.struct.field(pytree_node=False)
    exponents: tuple[float, float] = flax.struct.field(pytree_node=False, default=(0.5, 0.5))

    @property
    def num_nodes(self) -> int:
        """Users and items together."""
        return self.num_users + self.num_items

    @property
    def num_edges(self) -> int:
        """Distinct interactions; each is an edge in both directions."""
        return self.user_items.shape[0]

    @property
    def symmetric(self) -> bool:
        """Whether A = A^T."""
        return self.transpose_scale is None


def build_graph(
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    num_users: int,
    num_items: int,
    *,
    backend: Literal["auto", "bcsr", "ell", "jraph"] = "auto",
    exponents: tuple[float, float] = (0.5, 0.5),
    self_loops: bool = False,
) -> Graph:
    """Graph of the given interactions, its arrays in NumPy: nothing touches a device but the question which it is.

    user_ids, item_ids: [n] integers; a pair given twice is one edge. exponents: (a, b) of the receiver and the
    sender in A = D^-a A0 D^-b; LightGCN's is (0.5, 0.5). A node without edges gets zeros. self_loops: A0 + I in place
    of A0, in the degrees too. backend `auto` is `bcsr` on the CPU and `ell` elsewhere. Raises ValueError for ids
    outside their range.
    """
    user_ids, item_ids = np.asarray(user_ids), np.asarray(item_ids)
    for name, ids, size in (("user_ids", user_ids, num_users), ("item_ids", item_ids, num_items)):
        if ids.size and (ids.min() < 0 or ids.max() >= size):
            raise ValueError(f"{name}: found {ids.min()}..{ids.max()}, allowed 0..{size - 1}")
    if backend == "auto":
        backend = "bcsr" if jax.default_backend() == "cpu" else "ell"
    users, items = np.divmod(np.unique(user_ids.astype(np.int64) * num_items + item_ids), max(num_items, 1))
    users, items = users.astype(np.int32), items.astype(np.int32)
    by_item = np.argsort(items, kind="stable").astype(np.int32)
    user_degrees = np.bincount(users, minlength=num_users)
    item_degrees = np.bincount(items, minlength=num_items)
    user_indptr, item_indptr = _indptr(user_degrees), _indptr(item_degrees)
    degrees = np.concatenate([user_degrees, item_degrees]) + self_loops
    receiver, sender = exponents
    receiver_scale, sender_scale = _power(degrees, -receiver), _power(degrees, -sender)
    user_values = receiver_scale[users] * sender_scale[items + num_users]
    item_values = (receiver_scale[items + num_users] * sender_scale[users])[by_item]
    item_users = users[by_item]
    chunked = backend == "ell"
    return Graph(
        user_indptr=user_indptr,
        user_items=items,
        user_values=user_values.astype(np.float32),
        item_indptr=item_indptr,
        item_users=item_users,
        item_values=item_values.astype(np.float32),
        item_edges=by_item,
        receiver_scale=receiver_scale.astype(np.float32),
        sender_scale=sender_scale.astype(np.float32),
        transpose_scale=None if receiver == sender else _power(degrees, receiver - sender, 1.0).astype(np.float32),
        loop_values=(receiver_scale * sender_scale).astype(np.float32) if self_loops else None,
        user_chunks=chunk_rows(user_indptr, items, num_items) if chunked else None,
        item_chunks=chunk_rows(item_indptr, item_users, num_users) if chunked else None,
        num_users=num_users,
        num_items=num_items,
        backend=backend,
        exponents=exponents,
    )


def edge_dropout(graph: Graph, rng: jax.Array, rate: float | jax.Array) -> Graph:
    """The graph with each edge left out at `rate`, in both directions alike; kept values are divided by 1 - rate.

    The degrees in the normalisation stay those of the whole graph, as LightGCN's dropout has it.
    """
    keep = 1.0 - rate
    return weigh_edges(graph, jax.random.bernoulli(rng, keep, (graph.num_edges,)) / keep)


def weigh_edges(graph: Graph, by_user: jax.Array) -> Graph:
    """The graph with every edge's value multiplied by a weight, in both directions alike, the degrees as they were.

    by_user: [E] float32, in the order of the edges by user.
    """
    by_item = by_user[graph.item_edges]
    chunks = {}
    if graph.user_chunks is not None and graph.item_chunks is not None:
        chunks["user_chunks"] = slot_weights(graph.user_chunks, by_user)
        chunks["item_chunks"] = slot_weights(graph.item_chunks, by_item)
    values = {"user_values": graph.user_values * by_user, "item_values": graph.item_values * by_item}
    return dataclasses.replace(graph, **values, **chunks)


def edges_of(graph: Graph, user_ids: jax.Array, item_ids: jax.Array) -> jax.Array:
    """Place of each pair's edge in the order by user, E where there is none: [B] int32, by binary search in a row."""
    indptr, items = jnp.asarray(graph.user_indptr), jnp.asarray(graph.user_items)
    low, end = indptr[user_ids], indptr[user_ids + 1]
    high = end
    for _ in range(max(graph.num_edges, 1).bit_length()):
        middle = (low + high) // 2
        before = (low < high) & (items.at[middle].get(mode="clip") < item_ids)
        low, high = jnp.where(before, middle + 1, low), jnp.where(before, high, middle)
    found = (low < end) & (items.at[low].get(mode="clip") == item_ids)
    return jnp.where(found, low, graph.num_edges)


def to_graphs_tuple(graph: Graph, nodes: jax.Array | None = None) -> jraph.GraphsTuple:
    """One jraph graph of N nodes (users first) and both directions of every edge, edges [2E, 1] holding A's values.

    Self loops, where there are any, are N more edges behind them.
    """
    import jraph

    num_edges = graph.num_edges
    users = jnp.repeat(
        jnp.arange(graph.num_users, dtype=jnp.int32), jnp.diff(graph.user_indptr), total_repeat_length=num_edges
    )
    items = jnp.repeat(
        jnp.arange(graph.num_items, dtype=jnp.int32), jnp.diff(graph.item_indptr), total_repeat_length=num_edges
    )
    values = [jnp.asarray(graph.user_values), jnp.asarray(graph.item_values)]
    receivers = [users, items + graph.num_users]
    senders = [jnp.asarray(graph.user_items) + graph.num_users, jnp.asarray(graph.item_users)]
    if graph.loop_values is not None:
        every_node = jnp.arange(graph.num_nodes, dtype=jnp.int32)
        values.append(jnp.asarray(graph.loop_values))
        receivers.append(every_node)
        senders.append(every_node)
    return jraph.GraphsTuple(
        nodes=nodes,
        edges=jnp.concatenate(values)[:, None],
        receivers=jnp.concatenate(receivers),
        senders=jnp.concatenate(senders),
        globals=None,
        n_node=jnp.array([graph.num_nodes]),
        n_edge=jnp.array([sum(len(part) for part in values)]),
    )


def from_graphs_tuple(graphs_tuple: jraph.GraphsTuple, num_users: int, **options: Any) -> Graph:
    """Graph of the edges of one jraph graph that run from items to users; options are those of `build_graph`.

    The tuple's nodes are users, then items. Edge features are not read: A's values follow from the degrees. Self loops
    are of every node or of none.
    """
    receivers, senders = np.asarray(graphs_tuple.receivers), np.asarray(graphs_tuple.senders)
    num_nodes = int(np.asarray(graphs_tuple.n_node).sum())
    loops = receivers == senders
    if loops.any():
        if len(np.unique(receivers[loops])) != num_nodes:
            raise ValueError("self loops: found some nodes with one and some without, allowed: all or none")
        receivers, senders = receivers[~loops], senders[~loops]
        options = {"self_loops": True, **options}
    to_user = receivers < num_users
    if (senders[to_user] < num_users).any() or (senders[~to_user] >= num_users).any():
        raise ValueError("edges: found one that does not join a user and an item, allowed only a bipartite graph")
    users = np.concatenate([receivers[to_user], senders[~to_user]])
    items = np.concatenate([senders[to_user], receivers[~to_user]]) - num_users
    return build_graph(users, items, num_users, num_nodes - num_users, **options)


def _indptr(degrees: np.ndarray) -> np.ndarray:
    indptr = np.zeros(len(degrees) + 1, np.int64)
    np.cumsum(degrees, out=indptr[1:])
    if indptr[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"edges: found {indptr[-1]}, allowed at most {np.iinfo(np.int32).max}")
    return indptr.astype(np.int32)


def _power(degrees: np.ndarray, exponent: float, at_zero: float = 0.0) -> np.ndarray:
    """degrees^exponent, with `at_zero` for nodes without edges, whatever the exponent."""
    return np.where(degrees > 0, np.maximum(degrees, 1).astype(np.float64) ** exponent, at_zero)
