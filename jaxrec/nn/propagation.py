"""Neighbourhood propagation over the bipartite graph: LightGCN (He et al., SIGIR 2020), Eq. 7 and 8.

The whole polynomial in A is one function with its own derivative. It is linear, so its cotangent is the same
polynomial in A^T, taken by Horner's rule: no sparse product is differentiated, none is transposed (A^T = T A T^-1 with
a diagonal T, the identity where A is symmetric) and nothing but the graph is kept from the forward pass.
"""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxrec.nn.graph import Graph
from jaxrec.nn.propagation_backends import Halves, multiply
from jaxrec.nn.propagation_rows import add_rows, product_rows, take_rows

Combine = Literal["mean", "sum", "mean_no_ego"]


def propagate(
    embeddings: jax.Array,
    graph: Graph,
    *,
    num_layers: int,
    combine: Combine = "mean",
    layer_weights: jax.Array | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Combined embeddings of all nodes, sum over k of w_k A^k E (LightGCN Eq. 8).

    embeddings: [N, D] float32, users first. combine: w_k = 1/(K+1), 1, or 1/K without the ego layer. layer_weights:
    [K+1] float32 overrides combine and has its own gradient. mesh: axes ("data", "model"); the features are split over
    "model", so that no value is communicated, and D must be divisible by it. Returns [N, D] float32.
    """
    if layer_weights is None:
        layer_weights = jnp.asarray(combine_weights(combine, num_layers), embeddings.dtype)
    if graph.backend == "jraph":
        return _combine_layers(_layers(embeddings, graph, num_layers), layer_weights)
    return _propagate(embeddings, layer_weights, graph, num_layers, mesh)


def propagate_rows(
    embeddings: jax.Array, graph: Graph, rows: jax.Array, *, num_layers: int, mesh: Mesh | None = None
) -> jax.Array:
    """Every layer's embeddings A^k E at the given rows alone: what a training step needs.

    embeddings: [N, D] float32; rows: [R] int32 nodes (items after users), repeats allowed. Returns [K+1, R, D]
    float32, layer 0 the ego embeddings; LightGCN takes the mean over axis 0. mesh as in `propagate`.
    """
    if graph.backend == "jraph":
        return jnp.stack([layer[rows] for layer in _layers(embeddings, graph, num_layers)])
    return _propagate_rows(embeddings, rows, graph, num_layers, mesh)


def combine_weights(combine: Combine, num_layers: int) -> list[float]:
    """The weight of each of the K+1 layers."""
    if combine == "mean":
        return [1.0 / (num_layers + 1)] * (num_layers + 1)
    if combine == "sum":
        return [1.0] * (num_layers + 1)
    if combine == "mean_no_ego":
        return [0.0] + [1.0 / num_layers] * num_layers
    raise ValueError(f"combine: found {combine!r}, allowed 'mean', 'sum' or 'mean_no_ego'")


def _layers(embeddings: jax.Array, graph: Graph, num_layers: int) -> list[jax.Array]:
    """Layers E, A E, ..., A^K E in full, differentiated as written: the reference form."""
    layers = [embeddings]
    for _ in range(num_layers):
        users, items = multiply(graph, _split(layers[-1], graph))
        layers.append(jnp.concatenate([users, items]))
    return layers


def _combine_layers(layers: list[jax.Array], weights: jax.Array) -> jax.Array:
    return sum((weights[k] * layer for k, layer in enumerate(layers)), jnp.zeros_like(layers[0]))


def _split(nodes: jax.Array, graph: Graph) -> Halves:
    return nodes[: graph.num_users], nodes[graph.num_users :]


def _over_features(function, mesh: Mesh | None, specs: tuple, out: PartitionSpec | tuple):
    """The function run on each device's own features; the graph and all else are whole on every device."""
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)


_FEATURES = PartitionSpec(None, "model")
_WHOLE = PartitionSpec()


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _propagate(embeddings, weights, graph: Graph, num_layers: int, mesh):
    def combined(embeddings, weights, graph):
        return _combine_layers(_layers(embeddings, graph, num_layers), weights)

    return _over_features(combined, mesh, (_FEATURES, _WHOLE, _WHOLE), _FEATURES)(embeddings, weights, graph)


def _propagate_forward(embeddings, weights, graph: Graph, num_layers: int, mesh):
    return _propagate(embeddings, weights, graph, num_layers, mesh), (embeddings, weights, graph)


def _propagate_backward(num_layers: int, mesh, residuals, cotangent):
    def backward(embeddings, weights, graph, cotangent):
        scale = graph.transpose_scale
        power = cotangent if scale is None else cotangent / scale[:, None]
        powers = _layers(power, graph, num_layers)
        if scale is not None:
            powers = [layer * scale[:, None] for layer in powers]
        # <G, A^k E> = <(A^T)^k G, E>: the weights' gradient from the powers at hand, no layer kept.
        by_weight = jnp.stack([jnp.vdot(layer, embeddings) for layer in powers])
        if mesh is not None:
            by_weight = jax.lax.psum(by_weight, "model")
        return _combine_layers(powers, weights), by_weight

    embeddings, weights, graph = residuals
    specs = (_FEATURES, _WHOLE, _WHOLE, _FEATURES)
    by_embeddings, by_weights = _over_features(backward, mesh, specs, (_FEATURES, _WHOLE))(
        embeddings, weights, graph, cotangent
    )
    return by_embeddings, by_weights, None


_propagate.defvjp(_propagate_forward, _propagate_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _propagate_rows(embeddings, rows, graph: Graph, num_layers: int, mesh):
    def layers(embeddings, rows, graph):
        nodes = _split(embeddings, graph)
        layers = [embeddings[rows]]
        for _ in range(num_layers - 1):
            nodes = multiply(graph, nodes)
            layers.append(take_rows(graph, nodes, rows))
        if num_layers:
            layers.append(product_rows(graph, nodes, rows))
        return jnp.stack(layers)

    out = PartitionSpec(None, None, "model")
    return _over_features(layers, mesh, (_FEATURES, _WHOLE, _WHOLE), out)(embeddings, rows, graph)


def _propagate_rows_forward(embeddings, rows, graph: Graph, num_layers: int, mesh):
    return _propagate_rows(embeddings, rows, graph, num_layers, mesh), (rows, graph)


def _propagate_rows_backward(num_layers: int, mesh, residuals, cotangent):
    def backward(rows, graph, cotangent):
        scale = graph.transpose_scale
        if scale is not None:
            cotangent = cotangent / scale[rows][None, :, None]
        zeros = jnp.zeros((graph.num_nodes, cotangent.shape[-1]), cotangent.dtype)
        nodes = add_rows(graph, _split(zeros, graph), rows, cotangent[-1])
        for layer in range(num_layers - 1, -1, -1):  # Horner: x <- G_k + A^T x
            nodes = add_rows(graph, multiply(graph, nodes), rows, cotangent[layer])
        nodes = jnp.concatenate(nodes)
        return nodes if scale is None else nodes * scale[:, None]

    rows, graph = residuals
    specs = (_WHOLE, _WHOLE, PartitionSpec(None, None, "model"))
    return _over_features(backward, mesh, specs, _FEATURES)(rows, graph, cotangent), None, None


_propagate_rows.defvjp(_propagate_rows_forward, _propagate_rows_backward)
