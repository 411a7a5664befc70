"""What a language model's tuning and ranking took, of the rows whose lists it made: the time table of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.comparison.runs import Run
from jaxrec.data.manifest import MANIFEST, read_manifest
from jaxrec.errors import UserError
from jaxrec.ranker.folders import needed_folder
from jaxrec.studies.definition import Study

_TIMES = "times.json"
_MEASURED = ("tuning_seconds", "tuned_users", "ranking_seconds", "ranked_users", "prompt_tokens")


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """Of one run. Seconds as the steps took them, all epochs and compilation included; prompt_tokens: mean a user of
    those ranked. device: of tuning, and of ranking where it was another. pools_sha256: of all candidates.
    """

    tuning_seconds: float
    tuned_users: int
    ranking_seconds: float
    ranked_users: int
    prompt_tokens: float
    device: str
    pools_sha256: str

    @property
    def tuning_a_user(self) -> float:
        """Seconds for each user who is tuned on."""
        return self.tuning_seconds / self.tuned_users

    @property
    def ranking_a_user(self) -> float:
        """Seconds for each user whose candidates are put in order."""
        return self.ranking_seconds / self.ranked_users


Times = Mapping[tuple[str, str], Sequence[StepTimes]]
"""By (row, column), one a run."""


def step_times(run: Run) -> StepTimes | None:
    """Out of the folders that the run names; None of a run that stands on no such steps.

    Raises: UserError where a folder is gone or does not say.
    """
    named = run.config.get("model", {}).get("rankings")
    if named is None:
        return None
    ranking = Path(named)
    tuning, candidates = (needed_folder(ranking, step) for step in ("tuning", "candidates"))
    tuned, ranked = (read_manifest(folder / _TIMES) for folder in (tuning, ranking))
    try:
        devices = dict.fromkeys(str(one["device"]) for one in (tuned, ranked))
        found = StepTimes(
            float(tuned["seconds"]),
            int(tuned["users"]),
            float(ranked["seconds"]),
            int(ranked["users"]),
            float(read_manifest(ranking / MANIFEST)["counts"]["prompt_tokens"]["mean"]),
            ", then ".join(devices),
            str(read_manifest(candidates / MANIFEST)["pools_sha256"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{ranking}: its steps do not say what they took ({error}); make them anew") from error
    if not all(getattr(found, name) > 0 for name in _MEASURED):
        raise UserError(f"{ranking}: its steps say that they took no time; make them anew")
    return found


def times_of(study: Study, systems: Mapping[tuple[str, str], Any]) -> tuple[Times, list[str]]:
    """Of all rows and columns of a study that shows times, and what a reader must know. systems: finished runs."""
    found: dict[tuple[str, str], list[StepTimes]] = {}
    notes = []
    if not study.times:
        return found, notes
    for (row, column), system in systems.items():
        try:
            times = [one for one in map(step_times, system.runs) if one is not None]
        except UserError as error:
            notes.append(f"{row}, {column}: no times: {error}")
            continue
        if times:
            found[row, column] = times
    for column in (column.label for column in study.columns):
        here = {one.pools_sha256: row for (row, label), times in found.items() if label == column for one in times[:1]}
        if len(here) > 1:
            notes.append(f"{column}: the candidates are not the same in all rows ({', '.join(here.values())})")
    return found, notes


def time_rows(study: Study, times: Times) -> list[list[str]]:
    """Header, a row a system and column, and below it how many times as long as another that it stands against."""
    single = len(study.columns) == 1
    head = ["", "tuning, s", "a user", "ranking, s", "a user", "tokens a prompt", "users tuned, ranked", "device"]
    rows = [[head[0], *([] if single else ["column"]), *head[1:]]]
    for row in study.rows:
        for column in (column.label for column in study.columns):
            held = times.get((row.label, column))
            if held is None:
                continue
            where = [] if single else [column]
            rows.append(
                [
                    row.label,
                    *where,
                    f"{_mean(held, 'tuning_seconds'):,.1f}",
                    f"{_mean(held, 'tuning_a_user'):.3f}",
                    f"{_mean(held, 'ranking_seconds'):,.1f}",
                    f"{_mean(held, 'ranking_a_user'):.4f}",
                    f"{_mean(held, 'prompt_tokens'):,.0f}",
                    f"{held[0].tuned_users:,}, {held[0].ranked_users:,}",
                    ", ".join(dict.fromkeys(one.device for one in held)),
                ]
            )
            for other in row.against:
                theirs = times.get((other, column))
                if theirs is not None:
                    tuning, ranking, tokens = (
                        f"{_mean(held, name) / _mean(theirs, name):.2f}x"
                        for name in ("tuning_a_user", "ranking_a_user", "prompt_tokens")
                    )
                    rows.append([f"*{row.label} against {other}*", *where, "", tuning, "", ranking, tokens, "", ""])
    return rows


def _mean(times: Sequence[StepTimes], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in times]))
