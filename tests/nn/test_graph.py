"""Graphs against matrices built entry by entry."""

import jax
import numpy as np
import pytest

from jaxrec.nn.graph import build_graph, edge_dropout, from_graphs_tuple, to_graphs_tuple

NUM_USERS, NUM_ITEMS = 7, 5
# User 6 and item 4 have no edge; (0, 1) comes twice.
USERS = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 0])
ITEMS = np.array([1, 3, 0, 0, 1, 3, 3, 2, 3, 1])


def dense_adjacency(users, items, num_users, num_items, exponents=(0.5, 0.5)):
    """D^-a A0 D^-b by loops over the distinct pairs."""
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    adjacency = np.zeros((num_users + num_items, num_users + num_items))
    for user, item in pairs:
        adjacency[user, num_users + item] = adjacency[num_users + item, user] = 1.0
    degree = adjacency.sum(1)
    for row in range(len(adjacency)):
        for column in range(len(adjacency)):
            if adjacency[row, column]:
                adjacency[row, column] = degree[row] ** -exponents[0] * degree[column] ** -exponents[1]
    return adjacency


def dense_of(graph):
    """The matrix that a graph's CSR halves say."""
    adjacency = np.zeros((graph.num_nodes, graph.num_nodes))
    for user in range(graph.num_users):
        for edge in range(graph.user_indptr[user], graph.user_indptr[user + 1]):
            adjacency[user, graph.num_users + graph.user_items[edge]] += graph.user_values[edge]
    for item in range(graph.num_items):
        for edge in range(graph.item_indptr[item], graph.item_indptr[item + 1]):
            adjacency[graph.num_users + item, graph.item_users[edge]] += graph.item_values[edge]
    return adjacency


@pytest.mark.parametrize("exponents", [(0.5, 0.5), (0.5, 0.4), (1.0, 0.0)])
def test_values_are_the_normalised_adjacency(exponents):
    graph = build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS, exponents=exponents)
    expected = dense_adjacency(USERS, ITEMS, NUM_USERS, NUM_ITEMS, exponents)
    np.testing.assert_allclose(dense_of(graph), expected, atol=1e-7)
    assert graph.num_edges == 9
    assert graph.symmetric == (exponents[0] == exponents[1])


def test_rows_are_sorted_int32_and_without_repeats():
    graph = build_graph(USERS[::-1], ITEMS[::-1], NUM_USERS, NUM_ITEMS)
    for indptr, columns in ((graph.user_indptr, graph.user_items), (graph.item_indptr, graph.item_users)):
        assert indptr.dtype == columns.dtype == np.int32
        for row in range(len(indptr) - 1):
            assert (np.diff(columns[indptr[row] : indptr[row + 1]]) > 0).all()


def test_transpose_scale_turns_the_matrix_into_its_transpose():
    graph = build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS, exponents=(0.7, 0.1))
    adjacency = dense_of(graph)
    scale = np.asarray(graph.transpose_scale)
    np.testing.assert_allclose(scale[:, None] * adjacency / scale[None, :], adjacency.T, atol=1e-6)


@pytest.mark.parametrize(("users", "items"), [([7], [0]), ([0], [5]), ([-1], [0])])
def test_ids_outside_their_range_are_refused(users, items):
    with pytest.raises(ValueError, match="allowed 0"):
        build_graph(np.array(users), np.array(items), NUM_USERS, NUM_ITEMS)


def test_edge_dropout_masks_both_directions_alike_and_rescales():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, 600), rng.integers(0, 30, 600)
    graph = build_graph(users, items, 40, 30)
    whole = dense_of(graph)
    dropped = dense_of(jax.device_get(edge_dropout(graph, jax.random.key(1), 0.25)))
    kept = dropped != 0
    np.testing.assert_array_equal(kept, kept.T)
    np.testing.assert_allclose(dropped[kept], whole[kept] / 0.75, rtol=1e-6)
    share = kept.sum() / (whole != 0).sum()
    assert abs(share - 0.75) < 4 * np.sqrt(0.25 * 0.75 / graph.num_edges)


def test_edge_dropout_follows_its_key_under_jit():
    graph = build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS, backend="ell")
    drop = jax.jit(edge_dropout)
    same, again = drop(graph, jax.random.key(3), 0.5), edge_dropout(graph, jax.random.key(3), 0.5)
    np.testing.assert_array_equal(same.user_values, again.user_values)
    np.testing.assert_array_equal(same.user_chunks.weights, again.user_chunks.weights)


def test_graphs_tuple_there_and_back():
    graph = build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS)
    there = to_graphs_tuple(graph)
    adjacency = np.zeros((graph.num_nodes, graph.num_nodes))
    np.add.at(adjacency, (np.asarray(there.receivers), np.asarray(there.senders)), np.asarray(there.edges)[:, 0])
    np.testing.assert_allclose(adjacency, dense_of(graph), atol=1e-7)
    back = from_graphs_tuple(there._replace(nodes=None), NUM_USERS)
    jax.tree.map(np.testing.assert_array_equal, back, graph)


def test_self_loops_there_and_back():
    graph = build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS, exponents=(0.5, 0.4), self_loops=True)
    degrees = 1 + np.concatenate([np.diff(graph.user_indptr), np.diff(graph.item_indptr)])
    np.testing.assert_allclose(graph.loop_values, degrees**-0.9, rtol=1e-6)
    there = to_graphs_tuple(graph)
    assert int(there.n_edge[0]) == len(there.senders) == 2 * graph.num_edges + graph.num_nodes
    jax.tree.map(np.testing.assert_array_equal, from_graphs_tuple(there, NUM_USERS, exponents=(0.5, 0.4)), graph)
    some = there._replace(senders=there.senders[:-1], receivers=there.receivers[:-1])
    with pytest.raises(ValueError, match="all or none"):
        from_graphs_tuple(some, NUM_USERS)


def test_graphs_tuple_that_is_not_bipartite_is_refused():
    there = to_graphs_tuple(build_graph(USERS, ITEMS, NUM_USERS, NUM_ITEMS))
    with pytest.raises(ValueError, match="bipartite"):
        from_graphs_tuple(there._replace(senders=(there.receivers == 0).astype(np.int32)), NUM_USERS)
