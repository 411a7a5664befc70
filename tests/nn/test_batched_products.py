"""Propagation under vmap: each member of the batch as by itself, and no scatter in place of the sparse product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxrec.nn.batched_products import folded_multiply
from jaxrec.nn.graph import build_graph, edge_dropout
from jaxrec.nn.propagation import propagate_rows
from jaxrec.nn.propagation_backends import multiply

NUM_USERS, NUM_ITEMS, DIM, SIZE = 50, 40, 4, 3


def make_graph(backend):
    rng = np.random.default_rng(0)
    return build_graph(
        rng.integers(0, NUM_USERS, 300), rng.integers(0, NUM_ITEMS, 300), NUM_USERS, NUM_ITEMS, backend=backend
    )


def tables():
    return jax.random.normal(jax.random.key(1), (SIZE, NUM_USERS + NUM_ITEMS, DIM))


def rows(count):
    return jax.random.randint(jax.random.key(2), (SIZE, count), 0, NUM_USERS + NUM_ITEMS)


def loss(table, rows, graph, mesh=None):
    return jnp.sin(propagate_rows(table, graph, rows, num_layers=2, mesh=mesh)).sum()


def dropped(table, rows, graph, key):
    return loss(table, rows, edge_dropout(graph, key, 0.3))


def equal_one_at_a_time(batched, function, *arguments, shared):
    single = jax.jit(jax.value_and_grad(function))
    for index in range(SIZE):
        expected = single(*(part if part is shared else part[index] for part in arguments))
        for found, leaf in zip(batched, expected, strict=True):
            np.testing.assert_allclose(found[index], leaf, rtol=1e-5, atol=1e-5)


# 12 rows are few enough that the last layer is computed at them alone.
@pytest.mark.parametrize(("backend", "count"), [("bcsr", 12), pytest.param("ell", 12, marks=pytest.mark.slow)])
def test_each_member_of_a_batch_is_as_by_itself(backend, count):
    graph, table, nodes = make_graph(backend), tables(), rows(count)
    batched = jax.jit(jax.vmap(jax.value_and_grad(loss), (0, 0, None)))
    equal_one_at_a_time(batched(table, nodes, graph), loss, table, nodes, graph, shared=graph)


def test_graphs_of_their_own_are_multiplied_one_after_the_other():
    graph, table, nodes = make_graph("bcsr"), tables(), rows(12)
    keys = jax.random.split(jax.random.key(3), SIZE)
    batched = jax.jit(jax.vmap(jax.value_and_grad(dropped), (0, 0, None, 0)))(table, nodes, graph, keys)
    equal_one_at_a_time(batched, dropped, table, nodes, graph, keys, shared=graph)


def test_features_on_several_devices_fold_there():
    mesh = jax.make_mesh((1, 2), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
    graph, table, nodes = make_graph("bcsr"), tables(), rows(12)
    batched = jax.jit(jax.vmap(jax.value_and_grad(lambda *given: loss(*given, mesh)), (0, 0, None)))
    equal_one_at_a_time(batched(table, nodes, graph), loss, table, nodes, graph, shared=graph)


def test_a_batch_has_the_products_of_one_member_and_no_scatter_in_their_place():
    graph, table, nodes = make_graph("bcsr"), tables(), rows(40)

    def scatters(function, *arguments):
        return jax.jit(function).lower(*arguments).as_text().count("stablehlo.scatter")

    gradient = jax.value_and_grad(loss)
    single = scatters(gradient, table[0], nodes[0], graph)
    assert single > 0
    assert scatters(jax.vmap(gradient, (0, 0, None)), table, nodes, graph) == single
    # What is avoided:
    halves = table[:, :NUM_USERS], table[:, NUM_USERS:]
    assert scatters(jax.vmap(multiply, (None, 0)), graph, halves) > 0
    assert scatters(jax.vmap(folded_multiply, (None, 0)), graph, halves) == 0
