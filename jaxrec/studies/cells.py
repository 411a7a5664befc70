"""The runs of a study: one for each row, column and seed; what is the same experiment is one run."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxrec.config import Experiment, config_hash, override, validate
from jaxrec.data.prepared import content_digest, dataset_sha256
from jaxrec.errors import UserError
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.studies.definition import Column, Row, Study
from jaxrec.studies.refining import refined_name, refining


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: where it stands in the table, what it runs, and the name of its folder.

    The name follows from all that changes the result, data included: the same experiment has the same folder in
    every row and every study.
    """

    row: str
    column: str
    seed: int
    experiment: Experiment[Any]
    folder_name: str
    refined: PrecomputeConfig | None = None
    """What an agent does with the run when it has finished; the table then shows that."""

    @property
    def result_name(self) -> str:
        """Where the numbers of the table lie: the run's folder, or one inside it of what an agent has made of it."""
        return self.folder_name if self.refined is None else f"{self.folder_name}/{refined_name(self.refined)}"

    @property
    def label(self) -> str:
        """Its place in the table, in words."""
        return " | ".join(part for part in (self.row, self.column, f"seed {self.seed}") if part)


@dataclasses.dataclass(frozen=True)
class Overrides:
    """What the command line lays over every run.

    data, text: paths of interactions and of text features by the name of the data set (data.name). flags: the
    experiment's own; those of text, features and profiles (--text.…) reach only the rows that read them. refine: those
    of jaxrec.refine, for the rows that an agent refines.
    """

    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
    text: Mapping[str, str] = dataclasses.field(default_factory=dict)
    flags: Sequence[str] = ()
    refine: Sequence[str] = ()


def make_cells(study: Study, overrides: Overrides) -> list[Cell]:
    """All cells of the study, row by row, each experiment checked. Raises UserError naming the row and the field."""
    dataset_hash, digest = functools.cache(dataset_sha256), functools.cache(content_digest)
    unused = {"--data": set(overrides.data), "--text": set(overrides.text)}
    cells = []
    for row in study.rows:
        for column in study.columns:
            try:
                experiment = _in_column(study, row, column, overrides)
                unused["--data"].discard(experiment.data.name)
                unused["--text"].discard(experiment.data.name)
                _check_metrics(study, experiment)
                _check_protocols(study, experiment)
                data, text = dataset_hash(experiment.data), _text_digest(experiment, digest)
                features, profiles = _features_digest(experiment, digest), _profiles_digest(experiment, digest)
                refined = None if row.refined is None else refining(row.refined, overrides.refine)
            except UserError as error:
                raise UserError(f"study {study.name}: row {row.label}, column {column.label}: {error}") from error
            for seed in study.seeds_of(row):
                seeded = dataclasses.replace(experiment, seed=seed)
                name = _folder_name(seeded, config_hash(seeded, data, text, features, profiles))
                cells.append(Cell(row.label, column.label, seed, seeded, name, refined))
    if overrides.refine and all(row.refined is None for row in study.rows):
        raise UserError(f"{overrides.refine[0]}: no row of study {study.name} is refined by an agent")
    for flag, names in unused.items():
        if names:
            there = ", ".join(sorted({cell.experiment.data.name for cell in cells}))
            raise UserError(f"{flag} {min(names)}=…: no data set of this study has that name; there are: {there}")
    return cells


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """One cell of each run's folder, the first, as it is before an agent refines it."""
    found = {cell.folder_name: cell for cell in reversed(list(cells))}.values()
    return [dataclasses.replace(cell, refined=None) for cell in found][::-1]


def _in_column(study: Study, row: Row, column: Column, overrides: Overrides) -> Experiment[Any]:
    from jaxrec.assembly import absolute_paths

    experiment = override(study.experiment(row, column), list(column.flags))
    name = experiment.data.name
    if name in overrides.data:
        experiment = override(experiment, ["--data.path", overrides.data[name]])
    if name in overrides.text and experiment.reads_text:
        experiment = override(experiment, ["--text.path", overrides.text[name]])
    experiment = absolute_paths(override(experiment, _that_reach(overrides.flags, experiment)))
    validate(experiment)
    return experiment


def _that_reach(flags: Sequence[str], experiment: Experiment[Any]) -> list[str]:
    """The flags with their values, those left out that set what the model does not read: text, features, profiles."""
    reads_features = getattr(experiment.model, "needs_features", False)
    reads = {
        "text": experiment.reads_text or (reads_features and "--features.text" in flags),
        "features": reads_features,
        "profiles": getattr(experiment.model, "needs_profiles", False),
    }
    unread = tuple(f"--{no}{section}." for section, read in reads.items() if not read for no in ("", "no-"))
    kept: list[str] = []
    dropping = False
    for word in flags:
        if word.startswith("--"):
            dropping = word.startswith(unread)
        if not dropping:
            kept.append(word)
    return kept


def _check_metrics(study: Study, experiment: Experiment[Any]) -> None:
    for metric in study.metrics:
        if int(metric.partition("@")[2]) not in experiment.eval.k:
            cutoffs = ", ".join(map(str, experiment.eval.k))
            raise UserError(f"eval.k: found {cutoffs}, but the table shows {metric}; allowed: what has its cut-off")


def _check_protocols(study: Study, experiment: Experiment[Any]) -> None:
    """UserError for a table of a protocol that no run would rank by."""
    for protocol in (study.protocol, *study.also):
        if protocol not in experiment.eval.protocols:
            there = ", ".join(experiment.eval.protocols)
            raise UserError(f"eval.protocols: found {there}, but a table shows {protocol}; allowed: what has it")


def _text_digest(experiment: Experiment[Any], digest: Callable[[pathlib.Path], str]) -> str | None:
    """Of the files that the text is made from, where they are named; what the data holds is in its own digest."""
    text = experiment.text
    paths = [pathlib.Path(path) for path in (text.path, text.encoder) if path is not None]
    if not experiment.reads_text or not paths:
        return None
    for path in paths:
        if not path.exists():
            raise UserError(f"text: {path} does not exist")
    return " ".join(digest(path) for path in paths)


def _features_digest(experiment: Experiment[Any], digest: Callable[[pathlib.Path], str]) -> str | None:
    """Of the files of item features, where they are named."""
    paths = [pathlib.Path(given.partition("=")[2]) for given in experiment.features.paths]
    for path in paths:
        if not path.exists():
            raise UserError(f"features.paths: {path} does not exist")
    return " ".join(digest(path) for path in paths) or None


def _profiles_digest(experiment: Experiment[Any], digest: Callable[[pathlib.Path], str]) -> str | None:
    """Of the files of profiles, where they are named."""
    if experiment.profiles.path is None:
        return None
    path = pathlib.Path(experiment.profiles.path)
    if not path.exists():
        raise UserError(f"profiles.path: {path} does not exist")
    return digest(path)


def _folder_name(experiment: Experiment[Any], key: str) -> str:
    base = getattr(experiment.model, "base", None)
    parts = [experiment.model.name, getattr(base, "name", None), experiment.data.name, f"s{experiment.seed}", key]
    return re.sub(r"[^\w.-]", "_", "-".join(part for part in parts if part))
