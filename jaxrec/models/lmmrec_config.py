"""Settings of LMMRec. Every unclear equation has a default reading; the paper's literal one is a named choice."""

from __future__ import annotations

import dataclasses
import operator
from typing import ClassVar, Literal, get_args

from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.polycf import PolyCFConfig
from jaxrec.models.weightedgcl import WeightedGCLConfig
from jaxrec.nn.contrast import MIN_TEMPERATURE
from jaxrec.nn.partition_rules import BY_FEATURE, PartitionRules

BaseConfig = LightGCNConfig | WeightedGCLConfig | PolyCFConfig
"""The graph models that LMMRec can stand on."""


@dataclasses.dataclass(frozen=True)
class CoordinationConfig:
    """Motivation coordination (Eq. 7 and 8): a node's prototypes and its own text against other nodes' texts."""

    weight: float = 1e-2
    """Weight in the total loss; 0 leaves it out (the paper's w/o MCS), 1 is Eq. 10 as printed."""
    temperature: float = 0.2
    """Temperature of the contrast."""


@dataclasses.dataclass(frozen=True)
class CorrespondenceConfig:
    """Interaction-text correspondence (Eq. 9): similarities as a slowly moving teacher sees them."""

    weight: float = 1e-2
    """Weight in the total loss, gamma of Eq. 10; 0 leaves it and the teacher out (the paper's w/o ICM)."""
    student_temperature: float = 0.2
    """Temperature of the student's similarities."""
    teacher_temperature: float = 0.2
    """Temperature of the teacher's similarities."""
    momentum: float = 0.999
    """Share of itself that the teacher keeps in each step."""
    teacher_view: Literal["prototypes", "encoder"] = "prototypes"
    """What the teacher sees of the graph: prototypes as the student does; or e'_b(x) as printed, the encoder alone."""


@dataclasses.dataclass(frozen=True)
class LMMRecConfig:
    """Settings of LMMRec over a graph model; where the paper is silent, the readings of its ancestors."""

    name: ClassVar[str] = "lmmrec"
    needs_graph: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "model"
    partition_rules: ClassVar[PartitionRules] = BY_FEATURE

    base: BaseConfig = dataclasses.field(default=LightGCNConfig(dim=32))
    """The graph model that scores."""
    base_weight: float = 1.0
    """Weight of the base's own loss; 0 is Eq. 10 as printed, which ranks nothing."""
    graph_encoder: Literal["lightgcn", "none"] = "lightgcn"
    """Prototypes from LightGCN's layers (Eq. 4); or from the embeddings themselves (the paper's w/o GCN)."""
    num_prototypes: int = 128
    """Prototypes in each of the two banks, of users and of items."""
    coordination: CoordinationConfig = CoordinationConfig()
    """Weight and temperature of the coordination loss."""
    correspondence: CorrespondenceConfig = CorrespondenceConfig()
    """Weight, temperatures and momentum of the correspondence loss."""
    regularization: float = 1e-7
    """Weight of the squared norm of all parameters; 1 is Eq. 10 as printed."""
    text_source: Literal["text", "learned", "auto"] = "text"
    """Text features; or learned vectors in their place (the paper's w/o TM); auto: text where there is some."""

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.base.dim

    @property
    def needs_text(self) -> bool:
        """Whether text features are read."""
        return self.text_source != "learned"

    def validate(self) -> None:
        """Raise UserError for a value that no data could make sense of."""
        if not isinstance(self.base, BaseConfig):
            names = ", ".join(base.name for base in get_args(BaseConfig))
            found = getattr(self.base, "name", type(self.base).__name__)
            raise UserError(
                f"model.base: found {found}, allowed: {names} (models with embeddings that LMMRec can share)"
            )
        self.base.validate("model.base")
        warm = (lambda value: value >= MIN_TEMPERATURE, f"{MIN_TEMPERATURE} or more")
        from_zero = (lambda value: value >= 0, "0 or more")
        rules = {
            "base_weight": from_zero,
            "num_prototypes": (lambda value: value >= 1, "1 or more"),
            "regularization": from_zero,
            "coordination.weight": from_zero,
            "coordination.temperature": warm,
            "correspondence.weight": from_zero,
            "correspondence.student_temperature": warm,
            "correspondence.teacher_temperature": warm,
            "correspondence.momentum": (lambda value: 0 <= value <= 1, "from 0 to 1"),
        }
        for field, (holds, allowed) in rules.items():
            if not holds(found := operator.attrgetter(field)(self)):
                raise UserError(f"model.{field}: found {found}, allowed: {allowed}")
