"""What one seed of several keeps for itself, and the newest step at which all of them can be taken up again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jaxrec.errors import UserError
from jaxrec.train.checkpoint import Checkpoints, DamagedCheckpointError
from jaxrec.train.early_stopping import EarlyStopping
from jaxrec.train.metrics_log import MetricsLog
from jaxrec.train.state import TrainState


@dataclasses.dataclass
class SeedRun:
    """One seed's checkpoints, log and early stopping, as of a run by itself.

    steps: where it stopped, None while it goes on; examples: what it was shown.
    """

    seed: int
    checkpoints: Checkpoints
    open_log: Callable[[int], MetricsLog]
    stopping: EarlyStopping
    steps: int | None = None
    examples: int = 0

    def meta(self, seconds: dict[str, float]) -> dict[str, Any]:
        """What a checkpoint says beside the arrays; seconds: this seed's share."""
        known = {"stopping": self.stopping.to_json(), "seconds": seconds, "examples": self.examples}
        return known if self.steps is None else known | {"stopped_at": self.steps}

    def restore_best(self, abstract: Any) -> TrainState:
        """The state of the best step."""
        assert self.stopping.best_step is not None  # the last epoch is always evaluated
        try:
            return self.checkpoints.restore(self.stopping.best_step, abstract).state
        except DamagedCheckpointError as error:
            raise UserError(f"{self.checkpoints.folder}: the best one is lost: {error}") from error


@dataclasses.dataclass(frozen=True)
class Common:
    """The states of all seeds after one step, and each one's share of the seconds."""

    states: list[TrainState]
    step: int
    seconds: dict[str, float]


def restore_common(runs: Sequence[SeedRun], abstract: Any, notice: Callable[[str], None]) -> Common | None:
    """The newest step of which every seed has a whole checkpoint, its runs set back to it; None where there is none.

    Every save writes all seeds, so a process that was killed while it saved leaves the step before to all.
    """
    damaged: list[str] = []
    for step in sorted(set.intersection(*(set(run.checkpoints.steps()) for run in runs)), reverse=True):
        try:
            found = [run.checkpoints.restore(step, abstract) for run in runs]
        except DamagedCheckpointError as error:
            damaged.append(str(error))
            continue
        for message in damaged:
            notice(f"damaged {message}; using the one of step {step} instead")
        for run, one in zip(runs, found, strict=True):
            run.checkpoints.discard_after(step)
            run.stopping = EarlyStopping(run.stopping.patience, **one.meta["stopping"])
            run.steps, run.examples = one.meta.get("stopped_at"), one.meta["examples"]
        notice(f"resumed {len(runs)} seeds from their checkpoints of step {step}")
        return Common([one.state for one in found], step, dict(found[0].meta["seconds"]))
    if damaged:
        raise UserError(
            f"{runs[0].checkpoints.folder.parent.parent}: no step has a whole checkpoint of every seed "
            f"({'; '.join(damaged)}); remove the folder to start anew"
        )
    for run in runs:  # of a first save that was killed half way
        run.checkpoints.discard_after(-1)
    return None
