"""How many numbers of a model's parameters each device has: from their shapes alone, for any number of devices."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import jax

from jaxrec.bench.scaling.programs import Sizes, abstract_training


@dataclasses.dataclass(frozen=True)
class Held:
    """Numbers on one device: whole, those that every device has; shared, its share of those that a rule names."""

    whole: int
    shared: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.whole + self.shared


def held(config: Any, sizes: Sizes, devices: int) -> Held:
    """Of the model's parameters, by its rules; rows that the devices do not divide are rounded up."""
    whole = shared = 0
    params = abstract_training(config, sizes, None)[0].params
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        specs = (spec for pattern, spec in config.partition_rules if re.search(pattern, name))
        spec = next((spec for spec in specs if len(spec) == len(leaf.shape)), None)
        if spec is None:
            whole += math.prod(leaf.shape)
        else:
            shared += math.prod(
                -(-size // devices) if axis else size for size, axis in zip(leaf.shape, spec, strict=True)
            )
    return Held(whole, shared)


def count(tree: Any) -> int:
    """Numbers in a tree of arrays or of shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
