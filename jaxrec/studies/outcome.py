"""From finished runs to the numbers of the table: means over seeds, improvements, paired tests, references."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrec.comparison.compare import per_user_means
from jaxrec.comparison.runs import Run, check_comparable, load_run
from jaxrec.comparison.systems import System, differences
from jaxrec.errors import UserError
from jaxrec.eval.ranking_name import ranking_name
from jaxrec.eval.significance import SIGNIFICANT, holm, paired_t_test, spread, wilcoxon_test
from jaxrec.studies.cells import Cell
from jaxrec.studies.definition import Study
from jaxrec.studies.execution import is_done
from jaxrec.studies.rankings import References, ranking_of_system, references_by_ranking
from jaxrec.studies.refined_rows import is_refined, of_shared_users, refined_notes
from jaxrec.studies.step_times import Times, times_of


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A row against another one in a column, by one metric, over the seeds that both have.

    improvement: of the mean over seeds, as a share of the other's. t_test, wilcoxon: two-sided p-values of paired
    tests over users of the means over seeds; holm: the first, corrected over all comparisons of the metric in the
    study. They are None where the metric has no value a user.
    """

    row: str
    against: str
    column: str
    metric: str
    improvement: float | None
    t_test: float | None = None
    wilcoxon: float | None = None
    holm: float | None = None

    @property
    def better(self) -> bool:
        """Significantly better: what the star says."""
        return self._significant and (self.improvement or 0) > 0

    @property
    def worse(self) -> bool:
        """Significantly worse."""
        return self._significant and (self.improvement or 0) < 0

    @property
    def _significant(self) -> bool:
        return self.holm is not None and self.holm < SIGNIFICANT


@dataclasses.dataclass(frozen=True)
class Outcome:
    """All that a study's table, record and figure show.

    systems: finished runs by (row, column); first: the run of a column whose data and protocol it shows.
    missing, failures: labels of cells, and why they failed. notes: what the table does not show. times: of the steps
    behind each system, one a run, where the study shows them.
    """

    study: Study
    num_cells: int
    systems: Mapping[tuple[str, str], System]
    first: Mapping[str, Run]
    comparisons: tuple[Comparison, ...]
    missing: tuple[str, ...]
    failures: Mapping[str, str]
    notes: tuple[str, ...]
    times: Times = dataclasses.field(default_factory=dict)

    def starred(self, row: str, column: str, metric: str) -> bool:
        """Whether the row is significantly better than each row that it is tested against."""
        against = next(given.against for given in self.study.rows if given.label == row)
        better = {
            c.against for c in self.comparisons if (c.row, c.column, c.metric) == (row, column, metric) and c.better
        }
        return bool(against) and better == set(against)

    @property
    def on_sample(self) -> bool:
        """Whether any run read the built-in sample in place of data."""
        return any(run.result["dataset"]["source"] == "sample" for run in self.first.values())

    def label_of(self, row: str) -> str:
        """The row's name in print; of a simulation it says so."""
        return f"{row} (a simulation)" if self.simulates(row) else row

    def simulates(self, row: str) -> bool:
        """Whether the row's agent reads what is to be predicted."""
        refined = next(given.refined for given in self.study.rows if given.label == row)
        return refined is not None and refined.agent == "oracle"

    def protocol(self, column: str) -> dict[str, Any]:
        """The ranking protocol's record in a column."""
        return self.first[column].result["protocols"][self.study.protocol]

    @property
    def ranking(self) -> str:
        """What the ranking is called in print; of columns that differ in it, each."""
        return " and ".join(dict.fromkeys(self.ranking_of(column) for column in self.first)) or self.study.protocol

    def ranking_of(self, column: str) -> str:
        """What the ranking of a column is called in print."""
        return ranking_name(self.study.protocol, self.protocol(column))

    def references(self, column: str) -> References:
        """What chance and popularity reach in a column's first run; they are recorded for the test part alone."""
        return self.protocol(column).get("reference", {}) if self.study.part == "test" else {}

    def references_by_ranking(self) -> dict[str, dict[str, References]]:
        """The same of every ranking, by the words that tell it from the others and by column."""
        if self.study.part != "test":
            return {}
        return references_by_ranking(self.systems, list(self.first), self.study.protocol)

    def ranks_like(self, row: str, column: str) -> list[str]:
        """The rows of a column that rank the same candidates of the same users, itself included."""
        rankings = {
            other: ranking_of_system(system, self.study.protocol)
            for (other, label), system in self.systems.items()
            if label == column
        }
        return [other for other, ranking in rankings.items() if ranking == rankings[row]]


def collect(study: Study, cells: Sequence[Cell], runs: pathlib.Path, failures: Mapping[str, str]) -> Outcome:
    """Read the finished runs among the cells. failures: why runs failed, by folder name."""
    loaded: dict[str, Run] = {}
    for cell in cells:
        if cell.result_name not in loaded and is_done(runs, cell):
            loaded[cell.result_name] = load_run(runs / cell.result_name)
    notes: list[str] = list(study.notes)
    systems: dict[tuple[str, str], System] = {}
    first: dict[str, Run] = {}
    for row in study.rows:
        for column in study.columns:
            here = [cell for cell in cells if (cell.row, cell.column) == (row.label, column.label)]
            found = tuple(loaded[cell.result_name] for cell in here if cell.result_name in loaded)
            if not found:
                continue
            values = {
                metric: spread([run.result["protocols"][study.protocol][study.part][metric] for run in found])
                for metric in study.metrics
            }
            systems[row.label, column.label] = System(row.label, found, values)
            first.setdefault(column.label, found[0])
    comparisons: list[Comparison] = []
    for row in study.rows:
        for column in study.columns:
            for other in row.against:
                pair = systems.get((row.label, column.label)), systems.get((other, column.label))
                if pair[0] is None or pair[1] is None:
                    continue
                try:
                    comparisons += _compare(study, column.label, pair[0], pair[1])
                except UserError as error:
                    notes.append(f"{row.label} is not tested against {other} in {column.label}: {error}")
    missing = tuple(cell.label for cell in cells if cell.result_name not in loaded)
    failed = {
        cell.label: failures[name]
        for cell in cells
        for name in dict.fromkeys((cell.folder_name, cell.result_name))
        if name in failures
    }
    notes += refined_notes(systems)
    notes += _column_notes(study, systems)
    times, more = times_of(study, systems)
    notes += more
    compared = tuple(_corrected(comparisons))
    return Outcome(study, len(cells), systems, first, compared, missing, failed, tuple(dict.fromkeys(notes)), times)


def _compare(study: Study, column: str, left: System, right: System) -> list[Comparison]:
    """Each metric of two systems over the seeds that both have; UserError where they do not answer one question."""
    shared = [seed for seed in left.seeds if seed in right.seeds]
    if not shared:
        raise UserError("they have no seed in common yet")
    left, right = _with_seeds(left, shared), _with_seeds(right, shared)
    for run in (*left.runs, *right.runs):
        check_comparable(left.runs[0], run, study.protocol, study.part)
    (users, values), (others, other_values) = (
        per_user_means(system, study.protocol, study.part) for system in (left, right)
    )
    some = not np.array_equal(users, others)
    if some and not (is_refined(left) or is_refined(right)):
        raise UserError("their users are not the same")
    if some:
        values, other_values = of_shared_users(users, values, others, other_values)
    found = []
    for metric in study.metrics:
        means = [
            float(np.mean([run.result["protocols"][study.protocol][study.part][metric] for run in system.runs]))
            for system in (left, right)
        ]
        if some:
            means = [float(np.mean(columns[metric])) for columns in (values, other_values)]
        improvement = means[0] / means[1] - 1 if means[1] > 0 else None
        tests: dict[str, float] = {}
        if metric in values and metric in other_values:
            pair = values[metric], other_values[metric]
            tests = {"t_test": paired_t_test(*pair), "wilcoxon": wilcoxon_test(*pair)}
        found.append(Comparison(left.name, right.name, column, metric, improvement, **tests))
    return found


def _with_seeds(system: System, seeds: Sequence[int]) -> System:
    runs = {run.result["seed"]: run for run in system.runs}
    return dataclasses.replace(system, runs=tuple(runs[seed] for seed in seeds))


def _corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Holm's correction, each metric a family of its own."""
    corrected = list(comparisons)
    for metric in {comparison.metric for comparison in comparisons}:
        places = [i for i, c in enumerate(comparisons) if c.metric == metric and c.t_test is not None]
        for place, value in zip(places, holm([comparisons[i].t_test or 0.0 for i in places]), strict=True):
            corrected[place] = dataclasses.replace(corrected[place], holm=value)
    return corrected


def _column_notes(study: Study, systems: Mapping[tuple[str, str], System]) -> list[str]:
    """What belongs beside the numbers of each column; a note that holds in all of them is said once."""
    found: dict[str, list[str]] = {}
    filled = [column.label for column in study.columns if any(label == column.label for _, label in systems)]
    for column in filled:
        for note in differences([system for (_, label), system in systems.items() if label == column]):
            found.setdefault(note, []).append(column)
    return [note if columns == filled else f"{', '.join(columns)}: {note}" for note, columns in found.items()]
