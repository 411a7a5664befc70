"""What a goal is, and whether an entry of a report meets it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from jaxrec.bench.devices import Needs


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times faster `ours` is than `peer`, both variants of one workload, by medians; no less than asked."""

    ours: str
    peer: str

    def find(self, entry: dict[str, Any]) -> tuple[float, float] | None:
        """Ratio of the medians and of the minima; None where a variant was not run."""
        variants = entry["variants"]
        if self.ours not in variants or self.peer not in variants:
            return None
        ours, peer = variants[self.ours], variants[self.peer]
        return peer["median"] / ours["median"], peer["min"] / ours["min"]

    def say(self, value: float) -> str:
        """The value with its unit."""
        return f"{value:.3g}x"

    def within(self, value: float, wanted: float) -> bool:
        """Whether the value is as good as wanted."""
        return value >= wanted


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that the entry holds under `path`; no more than asked, or no less where more is better."""

    path: tuple[str, ...]
    unit: Literal["x", "s", "B", "MB", "of the bound"]
    at_most: bool = True

    def find(self, entry: dict[str, Any]) -> tuple[float, float] | None:
        """The number, twice; None where the entry lacks it."""
        found: Any = entry
        for key in self.path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None else (float(found), float(found))

    def say(self, value: float) -> str:
        """The value with its unit."""
        if self.unit == "x":
            return f"{value:.3g}x"
        return f"{value:,.0f} {self.unit}" if value >= 100 else f"{value:.3g} {self.unit}"

    def within(self, value: float, wanted: float) -> bool:
        """Whether the value is as good as wanted."""
        return value <= wanted if self.at_most else value >= wanted


@dataclasses.dataclass(frozen=True)
class Goal:
    """id: P1 to P16, G or M for accelerators, or L for the library's own; several lines may share one.

    must, aim: None is none. needs: what a machine must have for it.
    """

    id: str
    workload: str
    subject: str
    against: str
    find: Ratio | Figure
    must: float | None
    aim: float | None
    needs: Needs = "two CPU cores"

    @property
    def needs_torch(self) -> bool:
        """Whether its peer is a PyTorch form."""
        return isinstance(self.find, Ratio) and self.find.peer.startswith("torch")

    @property
    def command(self) -> str:
        """What measures it anew."""
        torch = " --torch-python PYTHON" if self.needs_torch else ""
        return f"python -m jaxrec.bench run {self.workload}{torch}"


@dataclasses.dataclass(frozen=True)
class Judged:
    """A goal beside a report. measured, minima: None where `missing` says why; sound: whether the checks hold."""

    goal: Goal
    measured: float | None = None
    minima: float | None = None
    sound: bool = True
    missing: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the must is met; None where there is none or nothing was measured."""
        if self.measured is None or self.goal.must is None:
            return None
        return self.sound and self.goal.find.within(self.measured, self.goal.must)

    @property
    def verdict(self) -> str:
        """One or a few words."""
        if self.measured is None:
            return f"not measured: {self.missing}"
        if not self.sound:
            return "missed: a check failed"
        if self.goal.aim is not None and self.goal.find.within(self.measured, self.goal.aim):
            return "met, aim too" if self.goal.must is not None else "aim met"
        return {True: "met", False: "missed", None: "aim missed"}[self.met]

    @property
    def line(self) -> str:
        """For people, at the end of a run."""
        goal = self.goal
        against = f" against {goal.against}" if goal.against else ""
        value = "" if self.measured is None else f"{goal.find.say(self.measured)}, "
        asked = [f"{word} {goal.find.say(n)}" for word, n in (("must", goal.must), ("aim", goal.aim)) if n is not None]
        return f"{goal.id} {goal.subject}{against}: {value}{self.verdict} ({', '.join(asked)})"


def judge(goal: Goal, entry: dict[str, Any] | None) -> Judged:
    """A goal beside its workload's entry of a report."""
    if entry is None:
        return Judged(goal, missing="not run")
    found = goal.find.find(entry)
    if found is None:
        return Judged(goal, missing="no --torch-python" if goal.needs_torch else "its variant was not run")
    return Judged(goal, *found, sound=all(entry["checks"].values()))
