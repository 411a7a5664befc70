"""Frozen weights of eight bits: int8 kernels, and one float32 scale for each of their output channels.

Quantised are the projections, {query, key, value, output} of attention, {gate, up, down} of the MLP and the output to
the logits where it is free: W[:, j] ~ scale[j] kernel[:, j] with scale[j] = max |W[:, j]| / 127 (the channel-wise part
of Dettmers et al., 2022; no column is kept apart). An element is off by half a step, scale[j] / 2, at most. Embeddings,
also where they are the output, and norms stay as they are, and so do activations. In the tree a "scale" [L, out] lies
beside each "kernel" [L, in, out]; `decoder.forward`, `unstack`, adapters and `sharding.place` take either tree.

Kernels are widened as they are used. Stacked layers keep one of them wide at a time; unstacked ones, which a CPU widens
all at once, only pay where the weights are plain.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.errors import UserError

Weights = Literal["plain", "int8"]
LARGEST = 127
"""The range is symmetric: -128 is never used."""


def quantize(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters with kernels of eight bits, NumPy arrays on no device; what has them already stays as it is.

    Stacked or unstacked parameters. Raises: UserError where a kernel holds something that is not finite.
    """

    def pack(path: tuple[Any, ...], module: dict[str, Any]) -> dict[str, Any]:
        if "kernel" not in module or "scale" in module:
            return module
        kernel, scale = quantize_kernel(module["kernel"], jax.tree_util.keystr(path, simple=True, separator="/"))
        return {"kernel": kernel, "scale": scale}

    return jax.tree_util.tree_map_with_path(pack, params, is_leaf=is_module)


def quantize_kernel(kernel: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """[..., in, out] floating -> int8 of the same shape and scales [..., out] float32; name: for the error."""
    kernel = np.asarray(kernel)
    if kernel.ndim > 2:
        # One layer after the other, so that only one is held in float32.
        layers = [quantize_kernel(layer, name) for layer in kernel]
        return np.stack([layer[0] for layer in layers]), np.stack([layer[1] for layer in layers])
    wide = kernel.astype(np.float32)
    scale = np.abs(wide).max(axis=0) / np.float32(LARGEST)
    if not np.isfinite(scale).all():
        raise UserError(f"{name}: found values that are not finite; finite ones are needed for weights of eight bits")
    steps = np.rint(wide / np.where(scale > 0, scale, np.float32(1)))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8), scale


def dequantize(params: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Plain parameters that compute what the quantised ones do, up to the rounding of dtype; kernels in that dtype."""

    def unpack(module: dict[str, Any]) -> dict[str, Any]:
        if not ("kernel" in module and "scale" in module):
            return module
        return {"kernel": (jnp.asarray(module["kernel"], jnp.float32) * module["scale"][..., None, :]).astype(dtype)}

    return jax.tree.map(unpack, params, is_leaf=is_module)


def is_module(tree: Any) -> bool:
    """Whether this is the dict of a module's own arrays: the nodes of a parameter tree just above its leaves."""
    return isinstance(tree, dict) and not any(isinstance(value, dict | tuple) for value in tree.values())


def frozen_matmul(x: jax.Array, kernel: jax.Array, scale: jax.Array, output_dtype: Any = None) -> jax.Array:
    """x W of a quantised W: [..., in], int8 [in, out], [out] -> [..., out] in output_dtype, that of x by default.

    Differentiable in x alone. The backward pass keeps the eight bits, not the weights that they stand for.
    """
    found: Any = _matmul(x, kernel, scale, output_dtype)
    return found


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _matmul(x: jax.Array, kernel: jax.Array, scale: jax.Array, output_dtype: Any) -> jax.Array:
    x, kernel = _together(x, kernel)
    # Integers up to 127 are exact in bfloat16, too; the scale is applied to the sum in float32.
    summed = jnp.matmul(x, kernel.astype(x.dtype), precision=_precision(x), preferred_element_type=jnp.float32)
    return _scaled(summed, scale).astype(x.dtype if output_dtype is None else output_dtype)


def _forward(x: jax.Array, kernel: jax.Array, scale: jax.Array, output_dtype: Any) -> tuple[Any, Any]:
    return _matmul(x, kernel, scale, output_dtype), (jnp.zeros((), x.dtype), kernel, scale)


def _backward(output_dtype: Any, kept: Any, gradient: jax.Array) -> tuple[jax.Array, None, None]:
    like, kernel, scale = kept
    weighted = _scaled(gradient.astype(jnp.float32), scale).astype(like.dtype)
    weighted, kernel = _together(weighted, kernel)
    return jnp.matmul(weighted, kernel.astype(like.dtype).T, precision=_precision(like)), None, None


_matmul.defvjp(_forward, _backward)


def _together(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both, the kernel not before x: else a compiled loop over tokens would widen all kernels first and keep them."""
    return jax.lax.optimization_barrier((x, kernel))


def _scaled(values: jax.Array, scale: jax.Array) -> jax.Array:
    return values * jnp.expand_dims(scale, tuple(range(values.ndim - 1)))


def _precision(x: jax.Array) -> str:
    # The backward pass is traced where the decoder's own setting no longer holds.
    return "highest" if x.dtype == jnp.float32 else "default"
