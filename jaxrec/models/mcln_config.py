"""Settings of MCLN; the paper's code where it differs from a sound reading is a named choice."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

from jaxrec.errors import UserError
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules

MCLN_GRAPH: dict[str, Any] = {"exponents": (0.5, 0.4), "self_loops": True}
"""The graph's form: D^-0.5 (A0 + I) D^-0.4, as in the paper's code."""


@dataclasses.dataclass(frozen=True)
class MCLNItemsConfig:
    """MCLN as it stands behind another model: what its items and its own losses are made of."""

    dim: int = 64
    """Width of ids, of projected modalities and of what they are fused to."""
    num_layers: int = 4
    """Layers of propagation; an embedding is the mean of them and of the ego layer."""
    num_blocks: int = 2
    """Blocks of attention among the modalities of an item."""
    image_weight: float = 0.3
    """Weight of the modality `image`, or `visual`, in a score (lambda of the paper's code); ids and others have 1."""
    attend: Literal["item", "batch"] = "item"
    """Attention among the id and the modalities of one item; or, as in the paper's code, among the items of a batch,
    each one row of all its modalities, at evaluation among the whole catalogue."""
    counterfactual: Literal["alike", "paper"] = "alike"
    """An item that the user has not chosen is subtracted from positives and negatives alike, at evaluation the mean of
    the catalogue; or, as in the paper's code, from positives alone, which have a last layer of their own, and at
    evaluation each item from itself."""
    regularization: float = 1e-2
    """Weight of half the squared norm of the batch's ego embeddings, projected modalities and fused vectors."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("num_layers", self.num_layers >= 1, "1 or more"),
            ("num_blocks", self.num_blocks >= 1, "1 or more"),
            ("image_weight", self.image_weight >= 0, "0 or more"),
            ("regularization", self.regularization >= 0, "0 or more"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")


@dataclasses.dataclass(frozen=True)
class MCLNConfig(MCLNItemsConfig):
    """Settings of MCLN by itself (Li et al., SIGIR 2023); modalities are those of the data."""

    name: ClassVar[str] = "mcln"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = True
    graph_options: ClassVar[dict[str, Any]] = MCLN_GRAPH
    needs_features: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE
