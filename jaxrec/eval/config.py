"""What a user says about evaluation."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Full ranking: every item of the catalogue is a candidate, seen items are masked."""

    k: tuple[int, ...] = (5, 10, 20)
    """Cut-offs of the metrics."""
    mask_valid_at_test: bool = True
    """Validation items are masked when the test part is ranked."""
    memory_budget_mb: int = dataclasses.field(default=512, metadata={"hash": False})
    """Memory that a block of scores may take on one device."""
    save_topk: int = 20
    """Length of the lists saved in topk.npz."""
