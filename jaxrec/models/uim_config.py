"""Settings of UiM. Every unclear equation has a default reading; the paper's literal one is a named choice."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

from jaxrec.errors import UserError
from jaxrec.models.mcln_config import MCLN_GRAPH, MCLNItemsConfig
from jaxrec.nn.in_batch_softmax import Readout
from jaxrec.nn.partition_rules import NODES_OR_VOCABULARY, PartitionRules


@dataclasses.dataclass(frozen=True)
class UiMConfig:
    """Settings of UiM (Xu et al., User Plays a Role); the profile's fields and the modalities are those of the data."""

    name: ClassVar[str] = "uim"
    needs_text: ClassVar[bool] = False
    needs_histories: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True
    graph_options: ClassVar[dict[str, Any]] = MCLN_GRAPH
    trains: ClassVar[bool] = True
    input: ClassVar[str] = "targets"
    mesh_axis: ClassVar[str] = "data"
    partition_rules: ClassVar[PartitionRules] = NODES_OR_VOCABULARY

    dim: int = 64
    """Width d of items, capsules and interests."""
    max_length: int = 50
    """The latest items of a user that are read."""
    num_interests: int = 3
    """Interests K of a user; with 1 the capsule is a weighted sum."""
    num_iterations: int = 3
    """Iterations of the routing."""
    profile: bool = True
    """Read the users' profiles; without them items weigh alike and an interest follows from its capsule alone."""
    profile_dim: int = 8
    """Width of each field of a profile."""
    hidden_dim: int = 8
    """Width inside the networks of the gates (Eq. 4 and 9)."""
    gate: Literal["field", "element"] = "field"
    """One weight of Eq. 9 for each field of the profile, or for each element of its vectors."""
    fuse: Literal["capsule", "gates"] = "capsule"
    """Interests from gated profile and capsule; or from gated profile and gates, as Eq. 11 prints it."""
    readout: Readout = "per_candidate_max"
    """In training: score each candidate by its best interest, as in ranking; or all by the target's."""
    in_batch_negatives: int | None = None
    """Negatives of each target drawn from the others of its batch (the paper: 5); None: all of them."""
    popularity_correction: bool = True
    """Weigh negatives by how rarely they are drawn, so that popular items are not ranked low; or, as the paper, alike.
    On the sample it doubles ndcg@10."""
    regularization: float = 1e-5
    """Weight of the squared norm of all parameters (Eq. 13)."""
    backbone: Literal["joint", "frozen", "fusion"] = "joint"
    """Item vectors: MCLN's, trained along; given, as the modality named backbone; or a linear map of id and others."""
    mcln: MCLNItemsConfig = dataclasses.field(default=MCLNItemsConfig())
    """MCLN, where the backbone is joint; its width is dim, too."""
    backbone_weight: float = 0.1
    """Weight of MCLN's own losses, where the backbone is joint."""
    init_std: float = 0.1
    """Standard deviation of the first embeddings of items, where the backbone is fusion."""

    @property
    def needs_profiles(self) -> bool:
        """Whether profiles of users are read."""
        return self.profile

    @property
    def needs_graph(self) -> bool:
        """Whether the graph of interactions is read."""
        return self.backbone == "joint"

    @property
    def num_negatives(self) -> int:
        """Negatives of each target that a batch brings: MCLN's losses want one."""
        return int(self.backbone == "joint" and self.backbone_weight > 0)

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("max_length", self.max_length >= 1, "1 or more"),
            ("num_interests", self.num_interests >= 1, "1 or more"),
            ("num_iterations", self.num_iterations >= 1, "1 or more"),
            ("profile_dim", self.profile_dim >= 1, "1 or more"),
            ("hidden_dim", self.hidden_dim >= 1, "1 or more"),
            ("fuse", self.profile or self.fuse == "capsule", "capsule, where profile is off"),
            ("in_batch_negatives", self.in_batch_negatives is None or self.in_batch_negatives >= 1, "1 or more, None"),
            ("regularization", self.regularization >= 0, "0 or more"),
            ("backbone_weight", self.backbone_weight >= 0, "0 or more"),
            ("init_std", self.init_std > 0, "above 0"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")
        if self.backbone == "joint":
            self.mcln.validate(f"{prefix}.mcln")
            if self.mcln.dim != self.dim:
                raise UserError(f"{prefix}.mcln.dim: found {self.mcln.dim}, allowed: {self.dim}, as {prefix}.dim")
