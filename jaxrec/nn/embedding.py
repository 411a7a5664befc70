"""Tables of free vectors, one a node."""

from __future__ import annotations

import flax.linen as nn
import jax


class EmbeddingTable(nn.Module):
    """A table [num_rows, dim] float32, drawn from N(0, init_std^2); calling it gives the whole table."""

    num_rows: int
    dim: int
    init_std: float

    @nn.compact
    def __call__(self) -> jax.Array:
        """The table."""
        return self.param("embedding", nn.initializers.normal(self.init_std), (self.num_rows, self.dim))
