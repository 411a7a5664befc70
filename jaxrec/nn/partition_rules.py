"""Which axis of each family's parameters is shared out over a mesh: one place for the rules of all models.

A rule is a regex that is looked for in the path of a leaf, and the axes of the mesh ("data", "model") for each axis of
that leaf. An optimiser's moments and a teacher have the paths of their parameters, and so lie as these do
(jaxrec.train.mesh.shardings). Sequences are shared by batch: that is no rule of a parameter. The decoder's rules, by
heads, inner features and vocabulary, are in jaxrec.llm.sharding.
"""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

PartitionRules = tuple[tuple[str, PartitionSpec], ...]

FEATURES = PartitionSpec(None, "model")
"""Each device has its features of every row: propagation is linear in each feature, so that it says nothing."""
ALL_FEATURES = PartitionSpec(None, ("data", "model"))
"""The same over all devices, of a model whose batch is shared over "data"."""
ROWS = PartitionSpec(("data", "model"), None)
"""Each device has its rows, all features of them (jaxrec.nn.sharded_embedding, jaxrec.nn.item_softmax)."""
ROW_NUMBERS = PartitionSpec(("data", "model"))
"""Of a bias, one number a row: each device has those of its rows."""

WHOLE: PartitionRules = ()
"""Every device has all of it."""
BY_FEATURE: PartitionRules = (("(^|/)embedding$", FEATURES),)
"""Graph models and matrix factorisation: the tables of users, items and nodes by feature."""
BY_VOCABULARY: PartitionRules = (("(^|/)items/embedding$", ROWS),)
"""Sequence models whose one table of items is read and predicted: by item, as the softmax over items wants it."""
MULTIMODAL_BY_VOCABULARY: PartitionRules = (
    ("(^|/)output/embedding$", ROWS),
    ("(^|(?<!attention)/)output/bias$", ROW_NUMBERS),
    (r"(^|/)items/(\w+_)?embedding$", ROWS),
    ("(^|/)user_embedding$", ROWS),
)
"""M3BSR: what it predicts by item; its tables of ids and of fields by row, and that of users, too."""
NODES_OR_VOCABULARY: PartitionRules = (("(^|/)nodes/embedding$", ALL_FEATURES), ("(^|/)items/embedding$", ROWS))
"""UiM: MCLN's nodes by feature behind it, or its own table of items by item."""


def pad_rows(params: Any, rules: PartitionRules, mesh: Mesh | None) -> Any:
    """The parameters with rows of zeros behind the last of each table by row, so that its devices have equally many.

    They are no items: what is computed of them is not used, and no gradient reaches them. On one device nothing is
    added. A checkpoint of one number of devices is one of another (jaxrec.train.checkpoint): the rows behind the last
    are cut off, or added.
    """
    if mesh is None:
        return params

    def pad(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = next((spec for pattern, spec in rules if re.search(pattern, name) and len(spec) == leaf.ndim), None)
        if spec not in (ROWS, ROW_NUMBERS):
            return leaf
        return jnp.pad(leaf, [(0, -len(leaf) % mesh.size), *[(0, 0)] * (leaf.ndim - 1)])

    return jax.tree_util.tree_map_with_path(pad, params)
