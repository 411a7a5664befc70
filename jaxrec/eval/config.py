"""What a user says about evaluation."""

from __future__ import annotations

import dataclasses
from typing import Literal

Protocol = Literal["full", "sampled99", "retrieved"]


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Who is ranked against what, and where lists are cut."""

    k: tuple[int, ...] = (5, 10, 20)
    """Cut-offs of the metrics."""
    mask_valid_at_test: bool = True
    """Validation items are masked when the test part is ranked."""
    memory_budget_mb: int = dataclasses.field(default=512, metadata={"hash": False})
    """Memory that a block of scores may take on one device. Vectors of users and items that take more are not put on
    each of several devices: every device ranks all users among its own items."""
    save_topk: int = 20
    """Length of the lists saved in topk.npz."""
    protocols: tuple[Protocol, ...] = dataclasses.field(default=("full",), metadata={"added": "0.2"})
    """full: every item is a candidate, seen ones are masked. sampled99: the target and 99 items the user never had.
    retrieved: the items of eval.pools alone; a target that is not among them is a miss. The first one chooses the best
    step and stands in tables."""
    pools: str | None = dataclasses.field(default=None, metadata={"added": "0.2", "hash": False})
    """Folder that jaxrec.precompute made, for the protocol retrieved: of the step candidates, or of the step ranking,
    whose users alone are ranked then. What it holds stands for it in the hash."""
    candidates_seed: int = dataclasses.field(default=0, metadata={"added": "0.2"})
    """Seed of the candidates of sampled99; apart from the training seed, so that seeds share candidates."""
    max_users: int | None = dataclasses.field(default=None, metadata={"added": "0.2"})
    """Users that `full` ranks in each part at most, drawn by their raw ids, the same in every run; None ranks all."""
    cold_start_events: int | None = dataclasses.field(default=None, metadata={"added": "0.2"})
    """Users with at most so many events before the target get metrics of their own, too; None for no such slice."""
