"""The table of a study as JSON: every number of every run."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxrec.comparison.runs import Run
from jaxrec.comparison.systems import text_of
from jaxrec.eval.significance import Spread
from jaxrec.studies.definition import Column
from jaxrec.studies.outcome import Outcome

SCHEMA = 1


def as_json(outcome: Outcome, further: Sequence[Outcome] = ()) -> dict[str, Any]:
    """Schema 1: study, columns with data, protocol and references, cells with every seed, comparisons, notes.

    references: by the words that tell a ranking from the others ("" where all rank alike), then by column.

    further: the same runs under other protocols, each a record of its own.
    """
    study = outcome.study
    figure = study.figure
    return {
        "schema": SCHEMA,
        "name": study.name,
        "title": study.title,
        "seeds": list(study.seeds),
        "metrics": list(study.metrics),
        "protocol": study.protocol,
        "part": study.part,
        "rows": [
            {
                "label": row.label,
                "against": list(row.against),
                "published": {c: dict(zip(study.metrics, values, strict=True)) for c, values in row.published.items()},
            }
            | ({} if row.refined is None else {"agent": row.refined.agent, "simulation": outcome.simulates(row.label)})
            for row in study.rows
        ],
        "columns": [_column(outcome, column) for column in study.columns],
        "references": outcome.references_by_ranking(),
        "cells": [
            {
                "row": row,
                "column": column,
                "metrics": {name: _spread(value) for name, value in system.metrics.items()},
                "runs": [_run(outcome, run) for run in system.runs],
            }
            | _times(outcome, row, column)
            for (row, column), system in outcome.systems.items()
        ],
        "comparisons": [
            {
                "row": c.row,
                "against": c.against,
                "column": c.column,
                "metric": c.metric,
                "improvement_percent": None if c.improvement is None else 100 * c.improvement,
                "t_test": c.t_test,
                "holm": c.holm,
                "wilcoxon": c.wilcoxon,
                "better": c.better,
                "worse": c.worse,
            }
            for c in outcome.comparisons
        ],
        "starred": [
            {"row": row, "column": column, "metric": metric}
            for row, column in outcome.systems
            for metric in study.metrics
            if outcome.starred(row, column, metric)
        ],
        "figure": None if figure is None else {"x_label": figure.x_label, "metrics": list(figure.metrics)},
        "num_cells": outcome.num_cells,
        "missing": list(outcome.missing),
        "failed": dict(outcome.failures),
        "notes": list(outcome.notes),
    } | ({"also": {other.study.protocol: as_json(other) for other in further}} if further else {})


def _column(outcome: Outcome, column: Column) -> dict[str, Any]:
    record: dict[str, Any] = {"label": column.label, "flags": list(column.flags), "x": column.x}
    if column.label not in outcome.first:
        return record | {"dataset": None, "protocol": None, "reference": None}
    protocol = {
        name: value
        for name, value in outcome.protocol(column.label).items()
        if name not in ("valid", "test", "reference")
    }
    dataset = outcome.first[column.label].result["dataset"]
    return record | {"dataset": dataset, "protocol": protocol, "reference": outcome.references(column.label)}


def _run(outcome: Outcome, run: Run) -> dict[str, Any]:
    result = run.result
    values = result["protocols"][outcome.study.protocol][outcome.study.part]
    return {
        "seed": result["seed"],
        # Of what an agent has made of a run: the run's folder and the one inside it.
        "folder": "/".join(pathlib.Path(run.folder).parts[-2 if "refined" in result else -1 :]),
        "config_hash": result.get("config_hash"),
        "metrics": {name: values[name] for name in outcome.study.metrics},
        "best_step": result.get("best_step"),
        "steps": result.get("steps"),
        "seconds": result.get("seconds"),
        "text_sha256": text_of(run),
        "devices": result.get("devices"),
        "versions": result.get("versions"),
    } | ({"refined": result["refined"]} if "refined" in result else {})


def _times(outcome: Outcome, row: str, column: str) -> dict[str, Any]:
    """Of the steps behind each run, where the study shows them."""
    held = outcome.times.get((row, column))
    return {} if held is None else {"times": [dataclasses.asdict(one) for one in held]}


def _spread(value: Spread) -> dict[str, float | None]:
    return {"mean": value.mean, "deviation": value.deviation}
