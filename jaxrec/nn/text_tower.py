"""From the space of a text encoder to the space of the interaction graph."""

from __future__ import annotations

import flax.linen as nn
import jax


class TextTower(nn.Module):
    """h = W2 LeakyReLU(W1 s + b1) + b2 (LMMRec Eq. 3): [..., T] -> [..., dim], hidden width (T + dim) / 2."""

    dim: int

    @nn.compact
    def __call__(self, text: jax.Array) -> jax.Array:
        """Projected text."""
        xavier = nn.initializers.xavier_uniform()
        hidden = nn.Dense((text.shape[-1] + self.dim) // 2, kernel_init=xavier, precision="highest", name="hidden")
        output = nn.Dense(self.dim, kernel_init=xavier, precision="highest", name="output")
        return output(nn.leaky_relu(hidden(text), 0.01))
