"""Neighbourhood propagation over the bipartite graph: LightGCN (He et al., SIGIR 2020), Eq. 7 and 8.

The whole polynomial in A is one function with its own derivative. It is linear, so its cotangent is the same
polynomial in A^T, taken by Horner's rule: no sparse product is differentiated, none is transposed (A^T = T A T^-1 with
a diagonal T, the identity where A is symmetric) and nothing but the graph is kept from the forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxrec.nn.batched_products import folded_multiply
from jaxrec.nn.graph import Graph
from jaxrec.nn.propagation_backends import Halves, multiply
from jaxrec.nn.propagation_rows import (
    NodeRows,
    add_rows,
    node_rows,
    product_from_rows,
    product_rows,
    take_rows,
    zero_nodes,
)

Combine = Literal["mean", "sum", "mean_no_ego"]

_WHOLE = PartitionSpec()
_FEATURES = PartitionSpec(None, "model")
_LAYER_FEATURES = PartitionSpec(None, None, "model")


def propagate(
    embeddings: jax.Array | Halves,
    graph: Graph,
    *,
    num_layers: int,
    combine: Combine = "mean",
    layer_weights: jax.Array | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Combined embeddings of all nodes, sum over k of w_k A^k E (LightGCN Eq. 8).

    embeddings: [N, D] float32, users first, or users [U, D] and items [I, D] apart, which spares copies. combine: w_k =
    1/(K+1), 1, or 1/K without the ego layer. layer_weights: [K+1] float32 overrides combine and has its own gradient.
    mesh: axes ("data", "model"); the features are split over "model", so that no value is communicated, and D must be
    divisible by it. Returns [N, D] float32.
    """
    if layer_weights is None:
        layer_weights = jnp.asarray(combine_weights(combine, num_layers), jnp.float32)
    halves = _halves(embeddings, graph)
    if graph.backend == "jraph":
        return jnp.concatenate(_weighted(_layers(halves, graph, num_layers), layer_weights))
    return jnp.concatenate(_propagate(halves, layer_weights, graph, num_layers, mesh))


def propagate_rows(
    embeddings: jax.Array | Halves,
    graph: Graph,
    rows: jax.Array | tuple[jax.Array, jax.Array],
    *,
    num_layers: int,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Every layer's embeddings A^k E at the given rows alone: what a training step needs.

    embeddings as in `propagate`. rows: [R] int32 nodes (items after users), repeats allowed; or int32 user ids and item
    ids apart, which costs less, and the result holds the users' rows first. Returns [K+1, R, D] float32, layer 0 the
    ego embeddings; LightGCN takes the mean over axis 0. mesh as in `propagate`.
    """
    halves, split_rows = _halves(embeddings, graph), node_rows(rows, graph)
    if graph.backend == "jraph":
        return jnp.stack([take_rows(layer, split_rows) for layer in _layers(halves, graph, num_layers)])
    return _propagate_rows(halves, split_rows, graph, num_layers, mesh)


def combine_weights(combine: Combine, num_layers: int) -> list[float]:
    """The weight of each of the K+1 layers."""
    if combine == "mean":
        return [1.0 / (num_layers + 1)] * (num_layers + 1)
    if combine == "sum":
        return [1.0] * (num_layers + 1)
    if combine == "mean_no_ego":
        return [0.0] + [1.0 / num_layers] * num_layers
    raise ValueError(f"combine: found {combine!r}, allowed 'mean', 'sum' or 'mean_no_ego'")


def _halves(embeddings: jax.Array | Halves, graph: Graph) -> Halves:
    return embeddings if isinstance(embeddings, tuple) else _split(embeddings, graph.num_users)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _split(nodes: jax.Array, num_users: int) -> Halves:
    return nodes[:num_users], nodes[num_users:]


# The derivative of two slices would be a sum of two padded tables; it is one concatenation.
_split.defvjp(
    lambda nodes, num_users: (_split(nodes, num_users), None),
    lambda num_users, residuals, cotangent: (jnp.concatenate(cotangent),),
)


def _layers(nodes: Halves, graph: Graph, num_layers: int) -> list[Halves]:
    """Layers E, A E, ..., A^K E in full."""
    layers = [nodes]
    for _ in range(num_layers):
        # jraph's form is differentiated as it stands, which a rule for batches does not allow.
        layers.append(multiply(graph, layers[-1]) if graph.backend == "jraph" else folded_multiply(graph, layers[-1]))
    return layers


def _weighted(layers: list[Halves], weights: jax.Array) -> Halves:
    def total(*halves: jax.Array) -> jax.Array:
        return functools.reduce(jnp.add, (weights[k] * half for k, half in enumerate(halves)))

    return jax.tree.map(total, *layers)


def _rescale(nodes: Halves, graph: Graph, *, inverse: bool = False) -> Halves:
    """T x or T^-1 x, with A^T = T A T^-1."""
    if graph.transpose_scale is None:
        return nodes
    scale = jnp.asarray(graph.transpose_scale)[:, None]
    scale = 1 / scale if inverse else scale
    return nodes[0] * scale[: graph.num_users], nodes[1] * scale[graph.num_users :]


def _over_features(function, mesh: Mesh | None, specs: tuple, out: Any) -> Callable[..., Any]:
    """The function run on each device's own features; the graph and all else are whole on every device."""
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _propagate(nodes: Halves, weights: jax.Array, graph: Graph, num_layers: int, mesh: Mesh | None) -> Halves:
    def combined(nodes, weights, graph):
        return _weighted(_layers(nodes, graph, num_layers), weights)

    return _over_features(combined, mesh, (_FEATURES, _WHOLE, _WHOLE), _FEATURES)(nodes, weights, graph)


def _propagate_forward(nodes, weights, graph, num_layers, mesh):
    return _propagate(nodes, weights, graph, num_layers, mesh), (nodes, weights, graph)


def _propagate_backward(num_layers, mesh, residuals, cotangent):
    def backward(nodes, weights, graph, cotangent):
        powers = _layers(_rescale(cotangent, graph, inverse=True), graph, num_layers)
        powers = [_rescale(power, graph) for power in powers]
        # <G, A^k E> = <(A^T)^k G, E>: the weights' gradient from the powers at hand, no layer kept.
        by_weights = jnp.stack([sum(jax.tree.map(jnp.vdot, power, nodes)) for power in powers])
        if mesh is not None:
            by_weights = jax.lax.psum(by_weights, "model")
        return _weighted(powers, weights), by_weights

    specs = (_FEATURES, _WHOLE, _WHOLE, _FEATURES)
    by_nodes, by_weights = _over_features(backward, mesh, specs, (_FEATURES, _WHOLE))(*residuals, cotangent)
    return by_nodes, by_weights, None


_propagate.defvjp(_propagate_forward, _propagate_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _propagate_rows(nodes: Halves, rows: NodeRows, graph: Graph, num_layers: int, mesh: Mesh | None) -> jax.Array:
    def layers(nodes, rows, graph):
        taken = [take_rows(nodes, rows)]
        for _ in range(num_layers - 1):
            nodes = folded_multiply(graph, nodes)
            taken.append(take_rows(nodes, rows))
        if num_layers:
            taken.append(product_rows(graph, nodes, rows))
        return jnp.stack(taken)

    return _over_features(layers, mesh, (_FEATURES, _WHOLE, _WHOLE), _LAYER_FEATURES)(nodes, rows, graph)


def _propagate_rows_forward(nodes, rows, graph, num_layers, mesh):
    return _propagate_rows(nodes, rows, graph, num_layers, mesh), (rows, graph)


def _propagate_rows_backward(num_layers, mesh, residuals, cotangent):
    def backward(rows, graph, cotangent):
        if graph.transpose_scale is not None:
            ones = jnp.ones((graph.num_users, 1), cotangent.dtype), jnp.ones((graph.num_items, 1), cotangent.dtype)
            cotangent = cotangent * take_rows(_rescale(ones, graph, inverse=True), rows)[None]
        if num_layers == 0:
            return _rescale(add_rows(zero_nodes(graph, cotangent), rows, cotangent[0]), graph)
        nodes = product_from_rows(graph, rows, cotangent[num_layers])
        for layer in range(num_layers - 1, 0, -1):  # Horner: x <- G_k + A^T x
            nodes = folded_multiply(graph, add_rows(nodes, rows, cotangent[layer]))
        return _rescale(add_rows(nodes, rows, cotangent[0]), graph)

    specs = (_WHOLE, _WHOLE, _LAYER_FEATURES)
    return _over_features(backward, mesh, specs, _FEATURES)(*residuals, cotangent), None, None


_propagate_rows.defvjp(_propagate_rows_forward, _propagate_rows_backward)
