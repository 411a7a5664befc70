"""The directions in which the interactions vary most: an ideal low-pass filter over items."""

from __future__ import annotations

import numpy as np

from jaxrec.nn.graph import Graph


def right_singular_vectors(graph: Graph, count: int) -> np.ndarray:
    """The first `count` right singular vectors of the graph's matrix, users by items: [I, count] float32.

    They begin with the largest singular value. The start is fixed, so that the same graph gives the same vectors. On
    the host, where the graph is built; count: below the number of users and of items.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    values, items, indptr = (np.asarray(array) for array in (graph.user_values, graph.user_items, graph.user_indptr))
    matrix = csr_matrix((values.astype(np.float64), items, indptr), shape=(graph.num_users, graph.num_items))
    start = np.random.default_rng(0).uniform(0.5, 1.5, min(graph.num_users, graph.num_items))
    _, singular_values, vectors = svds(matrix, k=count, v0=start)
    return np.asarray(vectors)[np.argsort(-np.asarray(singular_values))].T.astype(np.float32)
