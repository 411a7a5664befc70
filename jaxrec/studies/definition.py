"""What a study file says: rows, columns, seeds, metrics, and which rows are compared."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxrec.config import Experiment
from jaxrec.config.load import load_from
from jaxrec.errors import UserError
from jaxrec.precompute.simulated_user.config import FACTOR, SimulatedUserConfig

PARTS = {"valid": "validation part", "test": "test part"}
"""Parts that a study may report, in words."""
REFINED_METRICS = ("hit", "ndcg", "recall")
"""What is measured of lists that a simulated user has put in order."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One system of the table."""

    label: str
    """Name in the table."""
    experiment: Experiment[Any] | Mapping[str, Experiment[Any]]
    """What is run; where it differs from column to column, one for each label of a column."""
    against: tuple[str, ...] = ()
    """Labels of the rows that this one is tested against; the star says that it is better than each of them."""
    published: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """What its paper reports: for a column's label, a value for each metric of the study."""
    refined: SimulatedUserConfig | None = None
    """Whom the finished run's top 2N is shown; the row's numbers are those of the N that are kept. The run itself is
    shared with rows of the same experiment. A model as agent answers by rules unless the command names another."""
    num_seeds: int | None = None
    """It runs with the first so many seeds of the study alone; by default with all."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One condition under which every row runs, most often a data set."""

    label: str
    """Name in the table."""
    flags: tuple[str, ...] = ()
    """Laid over each row's experiment as on the command line, such as ("--data.noise", "0.1")."""
    x: float | None = None
    """Place on the horizontal axis of the figure."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """Rows over the columns' x, one panel a metric."""

    x_label: str
    """Label of the horizontal axis."""
    metrics: tuple[str, ...] = ()
    """Metrics that are drawn; those of the table by default."""
    kind: Literal["curves", "heat_map"] = "curves"
    """A curve for each row; or a square for each row and column, coloured and with its number."""
    y_label: str = ""
    """What the rows are, beside a heat map."""


@dataclasses.dataclass(frozen=True)
class Study:
    """A grid of rows, columns and seeds, and what its table shows."""

    name: str
    """Name of its folder."""
    title: str
    """Heading of its table."""
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every cell runs once with each of them."""
    metrics: tuple[str, ...] = ("recall@10", "ndcg@10")
    """Metrics of the table, in its order."""
    protocol: str = "full"
    """Which ranking protocol."""
    also: tuple[str, ...] = ()
    """Further protocols of the same runs, each with a table of its own below."""
    part: str = "test"
    """Which part is reported."""
    figure: Figure | None = None
    times: bool = False
    """Show what tuning and ranking took, of rows whose lists a language model made (SEALR, PALR)."""
    notes: tuple[str, ...] = ()
    """What a reader must know beside the numbers, one sentence each."""

    def experiment(self, row: Row, column: Column) -> Experiment[Any]:
        """What the row runs in the column, before flags and seeds."""
        return row.experiment if isinstance(row.experiment, Experiment) else row.experiment[column.label]

    def seeds_of(self, row: Row) -> tuple[int, ...]:
        """The seeds that the row runs with."""
        return self.seeds[: row.num_seeds]

    def with_seeds(self, number: int) -> Study:
        """The study with its first `number` seeds; where it has fewer, the next whole numbers follow."""
        following = range(max(self.seeds) + 1, max(self.seeds) + 1 + number)
        return dataclasses.replace(self, seeds=(*self.seeds, *following)[:number])


def load_study(path: pathlib.Path) -> Study:
    """What the `get_study()` of a Python file gives. Raises UserError where it fails or makes no sense."""
    study = load_from(path, "get_study", Study)
    try:
        check_study(study)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return study


def check_study(study: Study) -> None:
    """Raise UserError for what no run could mend."""
    _require(re.fullmatch(r"[A-Za-z0-9][\w.-]*", study.name), "name", study.name, "letters, digits, . _ and -")
    rows, columns = [row.label for row in study.rows], [column.label for column in study.columns]
    for field, values in (("rows", rows), ("columns", columns), ("seeds", study.seeds), ("metrics", study.metrics)):
        _require(values, field, "none", "one or more")
        _require(len(set(values)) == len(values), field, ", ".join(map(str, values)), "each once")
    _require(all(0 <= seed < 2**32 for seed in study.seeds), "seeds", study.seeds, "0 to 4294967295")
    _require(study.part in PARTS, "part", study.part, "valid or test")
    protocols = (study.protocol, *study.also)
    _require(len(set(protocols)) == len(protocols), "also", ", ".join(protocols), "each protocol once")
    for row in study.rows:
        _check_row(row, rows, columns)
        for label, values in row.published.items():
            _require(label in columns, f"row {row.label}: published", label, f"one of {columns}")
            wanted = f"{len(study.metrics)}, one a metric"
            _require(len(values) == len(study.metrics), f"row {row.label}: published", f"{len(values)} values", wanted)
    _check_refined(study)
    for metric in study.metrics:
        _require(re.fullmatch(r"[a-z]+@\d+", metric), "metrics", metric, "such as ndcg@10")
    if study.figure is not None:
        missing = [column.label for column in study.columns if column.x is None]
        _require(not missing, "figure", f"no x in column {missing[:1]}", "an x in every column")
        for metric in study.figure.metrics:
            _require(metric in study.metrics, "figure.metrics", metric, ", ".join(study.metrics))


def _check_refined(study: Study) -> None:
    """An agent is shown what is best of all items, for the test part, and keeps N of it."""
    for row in study.rows:
        if row.refined is None:
            continue
        where = f"row {row.label}: refined"
        try:
            row.refined.validate()
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        _require(row.refined.candidates is None, f"{where}.candidates", row.refined.candidates, "none, it is the run's")
        _require((study.protocol, *study.also) == ("full",), where, f"protocol {study.protocol}", "full ranking alone")
        _require(study.part == "test", where, f"part {study.part}", "test")
        for metric in study.metrics:
            name, _, cutoff = metric.partition("@")
            holds = name in REFINED_METRICS and cutoff.isdigit() and int(cutoff) <= row.refined.top
            allowed = f"{', '.join(REFINED_METRICS)} up to {row.refined.top}, of the {FACTOR * row.refined.top} shown"
            _require(holds, f"{where}: metrics", metric, allowed)


def _check_row(row: Row, rows: Sequence[str], columns: Sequence[str]) -> None:
    _require(row.num_seeds is None or row.num_seeds >= 1, f"row {row.label}: num_seeds", row.num_seeds, "1 or more")
    for other in row.against:
        _require(other in rows and other != row.label, f"row {row.label}: against", other, f"another of {rows}")
    if isinstance(row.experiment, Mapping):
        missing = [label for label in columns if label not in row.experiment]
        _require(not missing, f"row {row.label}: experiment", f"none for {missing[:1]}", "one for each column")
    found = list(row.experiment.values()) if isinstance(row.experiment, Mapping) else [row.experiment]
    for experiment in found:
        kind = type(experiment).__name__
        _require(isinstance(experiment, Experiment), f"row {row.label}: experiment", kind, "jaxrec.config.Experiment")


def _require(holds: object, field: str, found: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{field}: found {found}, allowed: {allowed}")
