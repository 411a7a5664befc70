"""Tables of free vectors, one a node."""

from __future__ import annotations

from typing import Any

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


def table_parameter(module: nn.Module, name: str, init: Any, shape: tuple[int, int]) -> jax.Array:
    """The module's table of that name and first shape; as it is given later, with rows behind the last one or without.

    Parameters that are shared out by row may have more rows (jaxrec.nn.partition_rules.pad_rows).
    """
    if module.is_initializing():
        return module.param(name, init, shape)
    return module.get_variable("params", name)
