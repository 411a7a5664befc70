"""Two reports side by side: which variant became slower, and which check no longer holds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

COSTS = {"temporary_bytes": "temporary bytes", "collective_bytes": "bytes said", "kernels": "kernels"}


@dataclasses.dataclass(frozen=True)
class Change:
    """A variant that both reports hold; seconds are medians, other units what its program costs."""

    workload: str
    variant: str
    before: float
    after: float
    unit: str = "s"

    @property
    def factor(self) -> float:
        """after / before: above 1 is slower, or more."""
        if self.before == 0:
            return 1.0 if self.after == 0 else math.inf
        return self.after / self.before


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Every variant of every workload that both reports hold."""
    changes = []
    for workload, entry in after["workloads"].items():
        old = before["workloads"].get(workload, {}).get("variants", {})
        for variant, times in entry["variants"].items():
            if variant in old:
                changes.append(Change(workload, variant, old[variant]["median"], times["median"]))
        changes += _programs(workload, before["workloads"].get(workload, {}).get("programs", {}), entry)
    return changes


def _programs(workload: str, old: dict[str, Any], entry: dict[str, Any]) -> list[Change]:
    """What compiled programs cost, exact figures that no busy machine changes."""
    found = []
    for variant, program in entry.get("programs", {}).items():
        for key, unit in COSTS.items():
            costs = old.get(variant, {}).get(key), program.get(key)
            if costs[0] is not None and costs[1] is not None:
                found.append(Change(workload, variant, *costs, unit))
    return found


def failures(changes: list[Change], after: dict[str, Any], fail_over: float | None) -> list[str]:
    """Why a comparison fails: our variants that are slower by more than the factor, and checks that do not hold.

    A peer that became slower is no fault of ours: only variants whose name begins with "jaxrec" count.
    """
    found = []
    for change in changes:
        if fail_over is not None and change.variant.startswith("jaxrec") and change.factor > fail_over:
            more = "times as long" if change.unit == "s" else f"times the {change.unit}"
            found.append(f"{change.workload}, {change.variant}: {change.factor:.2f} {more}, allowed {fail_over}")
    for workload, entry in after["workloads"].items():
        found += [f"{workload}: check failed: {name}" for name, holds in entry["checks"].items() if not holds]
    return found


def table(changes: list[Change]) -> str:
    """One line a variant."""
    width = max((len(change.workload) + len(change.variant) for change in changes), default=0) + 2
    return "\n".join(
        f"{change.workload + ', ' + change.variant:<{width}}  {change.before:>11.4g}  {change.after:>11.4g}"
        f"  {change.factor:>6.2f}x  {change.unit}"
        for change in changes
    )
