"""Runs that differ in their seed alone are one system, with a mean and a deviation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxrec.comparison.runs import Run
from jaxrec.config import first_difference
from jaxrec.errors import UserError
from jaxrec.eval.significance import Spread, spread


@dataclasses.dataclass(frozen=True)
class System:
    """Runs of one configuration that differ in their seed."""

    name: str
    runs: tuple[Run, ...]
    metrics: dict[str, Spread]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs."""
        return tuple(run.result["seed"] for run in self.runs)


def group_systems(
    runs: Sequence[Run], protocol: str, part: str, names: Sequence[str]
) -> tuple[list[System], list[str]]:
    """Runs that differ in nothing but the seed form one system; two systems of one name are numbered and explained."""
    groups: list[list[Run]] = []
    for run in runs:
        same = next((group for group in groups if _same_system(group[0], run)), None)
        if same is None:
            groups.append([run])
            continue
        twin = next((other for other in same if other.result["seed"] == run.result["seed"]), None)
        if twin is not None:
            raise UserError(
                f"{run.folder}: the same configuration and seed {run.result['seed']} as {twin.folder}; give it once"
            )
        same.append(run)
    systems: list[System] = []
    notes: list[str] = []
    firsts: dict[str, list[Run]] = {}
    for group in groups:
        base = group[0].result.get("name") or group[0].result["model"]
        earlier = firsts.setdefault(base, [])
        name = base if not earlier else f"{base} #{len(earlier) + 1}"
        if earlier:
            difference = first_difference(earlier[0].config, group[0].config) or "its text features"
            notes.append(f"{name} differs from {base} first in {difference.replace(' here', f' in {base}', 1)}")
        earlier.append(group[0])
        values = {
            metric: spread([run.result["protocols"][protocol][part][metric] for run in group]) for metric in names
        }
        systems.append(System(name, tuple(group), values))
    return systems, notes


def _same_system(left: Run, right: Run) -> bool:
    return (
        first_difference(left.config, right.config) is None
        and left.result["model"] == right.result["model"]
        and text_of(left) == text_of(right)
    )


def text_of(run: Run) -> str | None:
    """Hash of the text features that a run read, or None."""
    return (run.result.get("text") or {}).get("sha256")


def differences(systems: Sequence[System]) -> list[str]:
    """What does not forbid the comparison but belongs beside it."""
    runs = [run for system in systems for run in system.runs]
    notes = []
    if runs[0].result["dataset"].get("source") == "sample":
        notes.append("the data is the built-in sample: synthetic, so this says nothing about real data")
    if len({frozenset(system.seeds) for system in systems}) > 1:
        seeds = "; ".join(f"{system.name}: {', '.join(map(str, sorted(system.seeds)))}" for system in systems)
        notes.append(f"the systems do not have the same seeds ({seeds})")
    if any(len(system.runs) == 1 for system in systems):
        notes.append("one seed has no deviation, and its test knows the choice of users but not that of seeds")
    if len({text_of(run) for run in runs}) > 1:
        notes.append("not all runs read the same text")
    versions = {str(run.result.get("versions", {}).get("jax")) for run in runs}
    if len(versions) > 1:
        notes.append(f"the runs were made with several versions of jax: {', '.join(sorted(versions))}")
    return notes
