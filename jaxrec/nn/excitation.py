"""Squeeze and excitation: how much each feature of a vector counts, read from the vector itself."""

from __future__ import annotations

import flax.linen as nn
import jax


class Excitation(nn.Module):
    """w = sigmoid(W3 (W2 (W1 z + b1) + b2) + b3), z the mean over features (Chen et al., SIGIR 2025).

    [..., D] -> weights [..., D] float32 in (0, 1). Widths 1 -> D/16 -> D/4 -> D, each 1 or more, with nothing between
    the layers, as in the paper's public code. Kernels begin Xavier-uniform, biases at zero.
    """

    @nn.compact
    def __call__(self, vectors: jax.Array) -> jax.Array:
        """Weights of the features."""
        dim = vectors.shape[-1]
        hidden = vectors.mean(axis=-1, keepdims=True)  # the squeeze
        for name, width in (("first", dim // 16), ("second", dim // 4), ("third", dim)):
            layer = nn.Dense(
                max(width, 1), kernel_init=nn.initializers.xavier_uniform(), precision="highest", name=name
            )
            hidden = layer(hidden)
        return jax.nn.sigmoid(hidden)
