"""The exact sampler against what it promises: never a positive, uniform over the rest, a function of its key."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxrec.nn.graph import build_graph
from jaxrec.nn.negative_sampling import sample_negatives


def graph_of(rows, num_items):
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    items = np.array([item for row in rows for item in row])
    return build_graph(users, items, len(rows), num_items)


def test_uniform_over_the_items_that_are_not_positives():
    # Rows at the edges of the catalogue, in a run, empty, and with one item left.
    rows = [[0, 1, 2], [9], [], [3, 4, 5, 6], [0, 2, 4, 6, 8], [0, 1, 2, 3, 4, 5, 6, 7, 9]]
    graph = graph_of(rows, 10)
    draws = 20_000
    user_ids = jnp.tile(jnp.arange(len(rows), dtype=jnp.int32)[:, None], (1, draws))
    sampled = np.asarray(
        jax.jit(sample_negatives, static_argnums=4)(
            jax.random.key(0), user_ids, graph.user_indptr, graph.user_items, 10
        )
    )
    assert sampled.dtype == np.int32
    assert sampled.shape == (len(rows), draws)
    for row, items in zip(sampled, rows, strict=True):
        counts = np.bincount(row, minlength=10)
        rest = np.setdiff1d(np.arange(10), items)
        assert counts[items].sum() == 0
        if len(rest) > 1:
            assert scipy.stats.chisquare(counts[rest]).pvalue > 1e-4


def test_never_a_positive_on_a_larger_graph():
    rng = np.random.default_rng(0)
    graph = build_graph(rng.integers(0, 300, 9000), rng.zipf(1.3, 9000) % 200, 300, 200)
    user_ids = rng.integers(0, 300, 20_000).astype(np.int32)
    args = (jnp.asarray(user_ids), graph.user_indptr, graph.user_items, 200)
    sampled = np.asarray(sample_negatives(jax.random.key(1), *args))
    positives = set(zip(np.repeat(np.arange(300), np.diff(graph.user_indptr)), graph.user_items, strict=True))
    assert not positives & set(zip(user_ids, sampled, strict=True))
    np.testing.assert_array_equal(sampled, sample_negatives(jax.random.key(1), *args))
    assert (sampled != np.asarray(sample_negatives(jax.random.key(2), *args))).any()


def test_a_user_who_has_every_item_gets_item_zero():
    graph = graph_of([[0, 1, 2], [1]], 3)
    sampled = sample_negatives(jax.random.key(0), jnp.zeros(50, jnp.int32), graph.user_indptr, graph.user_items, 3)
    np.testing.assert_array_equal(sampled, 0)


def test_a_shorter_search_gives_the_same_items():
    rng = np.random.default_rng(3)
    graph = build_graph(rng.integers(0, 50, 700), rng.integers(0, 90, 700), 50, 90)
    user_ids = jnp.asarray(rng.integers(0, 50, (7, 30)), jnp.int32)
    args = (jax.random.key(1), user_ids, graph.user_indptr, graph.user_items, 90)
    longest = int(np.diff(graph.user_indptr).max())
    np.testing.assert_array_equal(sample_negatives(*args), sample_negatives(*args, max_degree=longest))


def test_without_any_interaction_every_item_is_a_negative():
    graph = graph_of([[], []], 3)
    sampled = sample_negatives(jax.random.key(0), jnp.zeros(3000, jnp.int32), graph.user_indptr, graph.user_items, 3)
    assert scipy.stats.chisquare(np.bincount(sampled, minlength=3)).pvalue > 1e-4
