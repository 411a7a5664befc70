"""Which evaluation was best so far, and whether it is time to stop."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """Higher is better. Patience is counted in evaluations; 0 never stops."""

    patience: int
    best_value: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0

    def update(self, value: float, step: int) -> EarlyStopping:
        """State after an evaluation; only a strict improvement counts."""
        if self.best_value is None or value > self.best_value:
            return EarlyStopping(self.patience, value, step, 0)
        return dataclasses.replace(self, evaluations_since_best=self.evaluations_since_best + 1)

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.patience <= self.evaluations_since_best

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "best_value": self.best_value,
            "best_step": self.best_step,
            "evaluations_since_best": self.evaluations_since_best,
        }
