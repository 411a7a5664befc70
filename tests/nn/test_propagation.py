"""Every backend against dense matrices, in values and gradients; the mesh against one device; the compiled programs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxrec.bench.collectives import collective_bytes
from jaxrec.nn.graph import build_graph, edge_dropout
from jaxrec.nn.propagation import propagate, propagate_rows
from jaxrec.nn.propagation_rows import node_rows, product_from_rows

NUM_USERS, NUM_ITEMS, DIM = 60, 45, 16
BACKENDS = ["bcsr", "ell", "jraph"]


@functools.cache
def interactions():
    rng = np.random.default_rng(0)
    # The last user and item have no edge; user 0 has nearly every item, so that sums take several levels.
    users = np.concatenate([np.zeros(40, int), rng.integers(0, NUM_USERS - 1, 300)])
    items = np.concatenate([np.arange(40), (NUM_ITEMS - 1) * rng.random(300) ** 2])
    return users, items.astype(int)


def make_graph(backend, exponents=(0.5, 0.5), dropout=0.0, self_loops=False):
    graph = build_graph(
        *interactions(), NUM_USERS, NUM_ITEMS, backend=backend, exponents=exponents, self_loops=self_loops
    )
    return edge_dropout(graph, jax.random.key(5), dropout) if dropout else graph


def dense(graph):
    adjacency = np.zeros((graph.num_nodes, graph.num_nodes), np.float32)
    users = np.repeat(np.arange(NUM_USERS), np.diff(graph.user_indptr))
    items = np.repeat(np.arange(NUM_ITEMS), np.diff(graph.item_indptr))
    adjacency[users, NUM_USERS + graph.user_items] = graph.user_values
    adjacency[NUM_USERS + items, graph.item_users] = graph.item_values
    return jnp.asarray(adjacency)


def embeddings(dim=DIM):
    return jnp.asarray(np.random.default_rng(1).normal(size=(NUM_USERS + NUM_ITEMS, dim)), jnp.float32)


def close(actual, expected, tolerance=1e-5):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, atol=tolerance * max(1.0, float(jnp.abs(e).max()))),
        actual,
        expected,
    )


CASES = [((0.5, 0.5), 0.0), ((0.5, 0.4), 0.0), ((1.0, 0.0), 0.3), ((0.5, 0.5), 0.3)]


@pytest.mark.parametrize(("exponents", "dropout"), CASES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_learned_layer_weights_and_gradients_equal_dense(backend, exponents, dropout):
    graph = make_graph(backend, exponents, dropout)
    adjacency = dense(graph)
    weights = jnp.array([0.1, 0.4, -0.3, 0.2])

    def ours(nodes, weights, graph):
        return jnp.sum(jnp.sin(propagate(nodes, graph, num_layers=3, layer_weights=weights)))

    def reference(nodes, weights):
        layers = [jnp.linalg.matrix_power(adjacency, k) @ nodes for k in range(4)]
        return jnp.sum(jnp.sin(jnp.tensordot(weights, jnp.stack(layers), 1)))

    actual = jax.jit(jax.value_and_grad(ours, (0, 1)))(embeddings(), weights, graph)
    close(actual, jax.value_and_grad(reference, (0, 1))(embeddings(), weights))


def dense_with_loops(exponents):
    """D^-a (A0 + I) D^-b with D the row sums of A0 + I, from the interactions alone."""
    plain = np.eye(NUM_USERS + NUM_ITEMS)
    for user, item in zip(*interactions(), strict=True):
        plain[user, NUM_USERS + item] = plain[NUM_USERS + item, user] = 1.0
    degrees = plain.sum(1)
    return jnp.asarray(degrees[:, None] ** -exponents[0] * plain * degrees[None, :] ** -exponents[1], jnp.float32)


@pytest.mark.parametrize("exponents", [(0.5, 0.4), (0.5, 0.5)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_self_loops_in_values_rows_and_gradients_equal_dense(backend, exponents):
    graph = make_graph(backend, exponents, self_loops=True)
    adjacency = dense_with_loops(exponents)
    few, many = jnp.array([7, 7, 59, 60, 104], jnp.int32), jnp.arange(0, 100, dtype=jnp.int32)
    scale = jnp.arange(1.0, 5.0)[:, None, None]

    def value(layers, combined):
        return jnp.sum(jnp.sin(layers) * scale) + jnp.sum(jnp.cos(combined))

    def ours(nodes, graph):
        # Rows in two calls: a few have the last layer cut out of the graph, many take the whole product.
        layers = [propagate_rows(nodes, graph, rows, num_layers=3) for rows in (few, many)]
        return value(jnp.concatenate(layers, axis=1), propagate(nodes, graph, num_layers=3, combine="mean"))

    def reference(nodes):
        layers = jnp.stack([jnp.linalg.matrix_power(adjacency, k) @ nodes for k in range(4)])
        return value(layers[:, jnp.concatenate([few, many])], layers.mean(0))

    close(jax.jit(jax.value_and_grad(ours))(embeddings(), graph), jax.value_and_grad(reference)(embeddings()))


@pytest.mark.parametrize("combine", ["mean", "sum", "mean_no_ego"])
def test_combinations_equal_dense(combine):
    graph = make_graph("bcsr")
    layers = np.stack([np.linalg.matrix_power(dense(graph), k) @ embeddings() for k in range(3)])
    expected = {"mean": layers.mean(0), "sum": layers.sum(0), "mean_no_ego": layers[1:].mean(0)}[combine]
    close(propagate(embeddings(), graph, num_layers=2, combine=combine), expected)


def test_unknown_combination_is_refused():
    with pytest.raises(ValueError, match="mean_no_ego"):
        propagate(embeddings(), make_graph("bcsr"), num_layers=2, combine="max")


@pytest.mark.parametrize(("exponents", "dropout"), CASES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_every_layer_and_gradients_equal_dense(backend, exponents, dropout):
    graph = make_graph(backend, exponents, dropout)
    adjacency = dense(graph)
    # Repeats, the hub, both nodes without edges, first and last of each side.
    rows = jnp.array([0, 7, 7, 59, 60, 104, 103, 80, 80, 80], jnp.int32)
    scale = jnp.arange(1.0, 5.0)[:, None, None]  # cotangents that differ by layer

    def loss(layers):
        return jnp.sum(jnp.sin(layers) * scale)

    def ours(nodes, graph, rows):
        return loss(propagate_rows(nodes, graph, rows, num_layers=3))

    def reference(nodes):
        return loss(jnp.stack([(jnp.linalg.matrix_power(adjacency, k) @ nodes)[rows] for k in range(4)]))

    close(jax.jit(jax.value_and_grad(ours))(embeddings(), graph, rows), jax.value_and_grad(reference)(embeddings()))
    layers = propagate_rows(embeddings(), graph, rows, num_layers=3)
    assert layers.shape == (4, 10, DIM)
    np.testing.assert_array_equal(layers[1:, 3], 0.0)
    np.testing.assert_array_equal(layers[1:, 5], 0.0)


@pytest.mark.parametrize("exponents", [(0.5, 0.5), (0.5, 0.4)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_users_and_items_apart_give_what_one_table_gives(backend, exponents):
    graph = make_graph(backend, exponents)
    users, items = jnp.array([0, 7, 7, 59], jnp.int32), jnp.array([44, 20, 20], jnp.int32)
    scale = jnp.arange(1.0, 5.0)[:, None, None]

    def losses(nodes, rows):
        rows = jnp.sum(jnp.sin(propagate_rows(nodes, graph, rows, num_layers=3)) * scale)
        return rows + jnp.sum(jnp.cos(propagate(nodes, graph, num_layers=2)))

    table = embeddings()
    halves = table[:NUM_USERS], table[NUM_USERS:]
    value, gradient = jax.jit(jax.value_and_grad(losses))(halves, (users, items))
    expected = jax.jit(jax.value_and_grad(losses))(table, jnp.concatenate([users, items + NUM_USERS]))
    close((value, jnp.concatenate(gradient)), expected)


@pytest.mark.parametrize("busy", [False, True])
def test_rows_beyond_the_edge_bound_take_the_whole_product(busy):
    """A star of hubs holds most edges: a batch of hubs exceeds the bound on touched edges, another one does not."""
    rng = np.random.default_rng(2)
    users = np.concatenate([np.repeat(np.arange(3), 90), np.arange(3, 100)])
    items = np.concatenate([np.tile(np.arange(90), 3), rng.integers(0, 90, 97)])
    graph = build_graph(users, items, 100, 90, backend="bcsr")
    rows = jnp.array([0, 1, 2, 150] if busy else [50, 60, 60, 150], jnp.int32)
    nodes = jnp.asarray(rng.normal(size=(190, 8)), jnp.float32)
    expected = propagate_rows(nodes, graph.replace(backend="jraph"), rows, num_layers=2)
    close(jax.jit(functools.partial(propagate_rows, num_layers=2))(nodes, graph, rows), expected, 1e-6)
    touched = sum(int(np.diff(graph.user_indptr)[row]) for row in set(rows.tolist()) if row < 100)
    assert (touched > graph.num_edges * 3 // 8) == busy


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("exponents", "dropout"), CASES)
def test_a_product_from_few_rows_equals_dense(exponents, dropout, apart):
    graph = make_graph("bcsr", exponents, dropout, self_loops=not dropout)
    adjacency = dense_with_loops(exponents) if not dropout else dense(graph)
    users, items = jnp.array([0, 3, 59, 3, 7]), jnp.array([44, 2, 2, 0, 2, 11])  # repeats, and nodes without an edge
    nodes = jnp.concatenate([users, items + NUM_USERS])[:: 1 if apart else -1]
    rows = node_rows((users, items) if apart else nodes, graph)
    updates = jax.random.normal(jax.random.key(2), (11, DIM))
    whole = jnp.zeros((NUM_USERS + NUM_ITEMS, DIM)).at[nodes].add(updates)
    found = product_from_rows(graph, rows, updates)
    close(jnp.concatenate(found), adjacency @ whole)
    seeds = jax.vmap(lambda updates: product_from_rows(graph, rows, updates))(jnp.stack([updates, 2 * updates]))
    jax.tree.map(lambda several, one: close(several, jnp.stack([one, 2 * one])), seeds, found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_graph_without_edges_gives_zeros(backend):
    graph = build_graph(np.zeros(0, int), np.zeros(0, int), 3, 2, backend=backend)
    nodes, rows = jnp.ones((5, 4)), jnp.array([0, 4])
    np.testing.assert_allclose(propagate(nodes, graph, num_layers=2, combine="sum"), 1.0)
    gradient = jax.grad(lambda nodes: propagate_rows(nodes, graph, rows, num_layers=2).sum())(nodes)
    np.testing.assert_array_equal(gradient, np.eye(5)[[0, 4]].sum(0)[:, None].repeat(4, 1))


@pytest.fixture(scope="module")
def mesh():
    if len(jax.devices()) < 8:
        pytest.skip("needs 8 (simulated) devices")
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


@pytest.mark.parametrize(("backend", "self_loops"), [("bcsr", False), ("bcsr", True), ("ell", True)])
def test_mesh_equals_one_device_and_propagation_communicates_nothing(mesh, backend, self_loops):
    graph = make_graph(backend, (0.5, 0.4), self_loops=self_loops)
    rows = jnp.array([0, 7, 7, 59, 60, 104], jnp.int32)
    sharded = jax.device_put(embeddings(), NamedSharding(mesh, PartitionSpec(None, "model")))

    def ours(nodes, graph, rows, mesh):
        return propagate(nodes, graph, num_layers=3, mesh=mesh), propagate_rows(
            nodes, graph, rows, num_layers=3, mesh=mesh
        )

    def both(nodes, graph, rows, mesh):
        values, pull_back = jax.vjp(functools.partial(ours, graph=graph, rows=rows, mesh=mesh), nodes)
        return values, pull_back(jax.tree.map(jnp.cos, values))

    compiled = jax.jit(both, static_argnums=3).lower(sharded, graph, rows, mesh).compile()
    actual = compiled(sharded, graph, rows)
    close(actual, jax.jit(both, static_argnums=3)(embeddings(), graph, rows, None), 1e-6)
    assert collective_bytes(compiled.as_text()) == {}
    assert actual[1][0].sharding.spec == PartitionSpec(None, "model")


def test_mesh_gradient_of_layer_weights(mesh):
    graph, weights = make_graph("bcsr"), jnp.array([0.5, 0.2, 0.1])

    def loss(weights, nodes, graph, mesh):
        return jnp.sum(jnp.sin(propagate(nodes, graph, num_layers=2, layer_weights=weights, mesh=mesh)))

    gradient = jax.jit(jax.grad(loss), static_argnums=3)
    close(gradient(weights, embeddings(), graph, mesh), gradient(weights, embeddings(), graph, None), 1e-6)


def test_bpr_step_communicates_at_most_64_kib_at_batch_2048(mesh):
    graph, batch = make_graph("bcsr"), 2048
    rows = jnp.asarray(np.random.default_rng(0).integers(0, NUM_USERS, 3 * batch), jnp.int32)

    def loss(nodes, graph, rows, mesh):
        layers = propagate_rows(nodes, graph, rows, num_layers=3, mesh=mesh)
        users, positives, negatives = jnp.split(layers.mean(0), 3)
        margin = (users * negatives).sum(1) - (users * positives).sum(1)
        return jax.nn.softplus(margin).mean() + 1e-4 * jnp.square(layers[0]).sum()

    sharded = jax.device_put(embeddings(), NamedSharding(mesh, PartitionSpec(None, "model")))
    step = jax.jit(jax.value_and_grad(loss), static_argnums=3)
    compiled = step.lower(sharded, graph, rows, mesh).compile()
    assert 0 < sum(collective_bytes(compiled.as_text()).values()) <= 64 * 1024
    close(compiled(sharded, graph, rows), step(embeddings(), graph, rows, None), 1e-6)


@pytest.mark.parametrize("backend", ["bcsr", "ell"])
def test_compiled_program_has_no_scatter_and_keeps_no_graph_constant(backend):
    graph = make_graph(backend, (0.5, 0.4))

    def loss(nodes, graph):
        return jnp.sum(jnp.sin(propagate(nodes, graph, num_layers=3)))

    text = jax.jit(jax.value_and_grad(loss)).lower(embeddings(), graph).compile().as_text()
    assert " scatter(" not in text
    constants = [
        int(np.prod([int(d) for d in shape.split(",")])) for shape in re.findall(r"\[([\d,]+)\]\S* constant", text)
    ]
    assert max(constants, default=0) < graph.num_edges
