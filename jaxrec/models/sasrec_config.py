"""Settings of SASRec."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from jaxrec.errors import UserError
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.nn.partition_rules import BY_VOCABULARY, PartitionRules
from jaxrec.nn.transformer import Norm


@dataclasses.dataclass(frozen=True)
class SASRecConfig:
    """Settings of SASRec."""

    name: ClassVar[str] = "sasrec"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    needs_histories: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    mesh_axis: ClassVar[str] = "data"
    # Each device has its share of the catalogue, as the softmax over it wants.
    partition_rules: ClassVar[PartitionRules] = BY_VOCABULARY

    dim: int = 64
    """Width of the embeddings and of the encoder."""
    num_layers: int = 2
    """Layers of the encoder."""
    num_heads: int = 2
    """Heads of its attention; a divisor of dim."""
    hidden_dim: int = 256
    """Width inside the network of a layer."""
    dropout: float = 0.5
    """Share of the embedded input, of the attention weights and of what each part of a layer adds that is dropped."""
    max_length: int = 50
    """The latest events of a user that are read."""
    norm: Norm = "pre"
    """Normalise what a part of a layer reads, or the sum behind it."""
    embedding_norm: bool = True
    """Normalise embeddings, positions added, before the first layer."""
    scale_embeddings: bool = False
    """Multiply item embeddings by the square root of dim where they are read, as the paper's code does."""
    events: Literal["target", "all"] = "target"
    """Read and predict the target behaviour alone, or all behaviours in one sequence."""
    augment: Literal["all_positions", "prefix"] = "all_positions"
    """Learn at all positions of a user's sequence at once, or from one target with its history at a time."""
    init_std: float = 0.02
    """Standard deviation of the first embeddings."""
    loss: ItemLossConfig = ItemLossConfig()
    """How targets are told from other items."""

    @property
    def num_negatives(self) -> int:
        """Negatives of each target that a batch brings."""
        return self.loss.num_negatives if self.loss.needs_negatives else 0

    @property
    def input(self) -> Literal["stream", "targets"]:
        """What a batch holds (jaxrec.data.batch)."""
        return "stream" if self.augment == "all_positions" else "targets"

    @property
    def merged(self) -> bool:
        """Whether histories hold all behaviours in one sequence."""
        return self.events == "all"

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        rules = (
            ("dim", self.dim >= 1, "1 or more"),
            ("num_layers", self.num_layers >= 1, "1 or more"),
            ("num_heads", self.num_heads >= 1 and self.dim % self.num_heads == 0, f"divisors of dim, {self.dim}"),
            ("hidden_dim", self.hidden_dim >= 1, "1 or more"),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
            ("max_length", self.max_length >= 1, "1 or more"),
            ("init_std", self.init_std > 0, "above 0"),
            ("augment", not (self.merged and self.input == "targets"), "all_positions, where events is all"),
        )
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{prefix}.{field}: found {getattr(self, field)}, allowed: {allowed}")
        self.loss.validate(f"{prefix}.loss")
