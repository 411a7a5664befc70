"""The validation curves of runs: how a metric grew with the epochs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jaxrec.comparison.systems import System
from jaxrec.errors import UserError
from jaxrec.figures import new_figure, quiet, save_png, style
from jaxrec.train.metrics_log import read_metrics


def draw_curves(systems: Sequence[System], metrics: Sequence[str], path: pathlib.Path) -> None:
    """Write a PNG with a panel for each metric and a curve for each run; runs of one system share a colour.

    Raises: UserError where no run has logged a validation, the file cannot be written or matplotlib is missing.
    """
    points = {run.folder: _validations(run.folder) for system in systems for run in system.runs}
    if not any(points.values()):
        raise UserError("--curve: none of these runs has validated, so there is no curve to draw")
    try:
        figure, panels = new_figure(len(metrics))
    except ImportError as error:
        raise UserError("--curve: matplotlib is not installed; pip install 'jaxrec[plots]'") from error
    for axes, metric in zip(panels, metrics, strict=True):
        for index, system in enumerate(systems):
            # A dot for every evaluation, no marker: fifty markers hide their line.
            look = style(index) | {"marker": ".", "markersize": 3}
            for number, run in enumerate(system.runs):
                logged = [(epoch, values[metric]) for epoch, values in points[run.folder] if metric in values]
                if logged:
                    label = system.name if number == 0 else None
                    axes.plot(*zip(*logged, strict=True), linewidth=1.5, label=label, **look)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(f"{metric} (validation part)")
        quiet(axes)
    try:
        save_png(figure, path)
    except OSError as error:
        raise UserError(f"--curve {path}: cannot be written: {error.strerror}") from error


def _validations(folder: pathlib.Path) -> list[tuple[int, dict[str, float]]]:
    """Epoch and metrics of every validation of a run."""
    lines = read_metrics(folder / "metrics.jsonl")
    return [(line["epoch"], line["metrics"]) for line in lines if line["split"] == "valid"]
