"""The figure of a study: a curve for each row over the columns, with its deviation over seeds."""

from __future__ import annotations

import pathlib
from typing import Any

from jaxrec.figures import new_figure, quiet, save_png, style
from jaxrec.studies.definition import PARTS, Figure
from jaxrec.studies.outcome import Outcome


def draw(outcome: Outcome, figure: Figure, path: pathlib.Path) -> None:
    """Write the figure as PNG. Raises ImportError where matplotlib is missing."""
    metrics = figure.metrics or outcome.study.metrics
    canvas, panels = new_figure(len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        shown = f"{metric} ({PARTS[outcome.study.part]}, {outcome.ranking} ranking)"
        if figure.kind == "heat_map":
            _heat_map(axes, outcome, metric)
            axes.set_title(shown, fontsize=10)
            axes.set_ylabel(figure.y_label)
        else:
            _curves(axes, outcome, metric)
            axes.set_ylabel(shown)
        axes.set_xlabel(figure.x_label)
    title = outcome.study.title
    if outcome.on_sample:
        title += "\nbuilt-in sample: synthetic, nothing about real data"
    if outcome.missing:
        title += f"\npartial: {len(outcome.missing)} of {outcome.num_cells} cells are missing"
    canvas.suptitle(title, fontsize=11)
    save_png(canvas, path)


def _curves(axes: Any, outcome: Outcome, metric: str) -> None:
    study = outcome.study
    # check_study: every column has an x where there is a figure.
    places = sorted((column.x or 0.0, column.label) for column in study.columns)
    for index, row in enumerate(study.rows):
        points = [
            (place, outcome.systems[row.label, label].metrics[metric])
            for place, label in places
            if (row.label, label) in outcome.systems
        ]
        if not points:
            continue
        x, means = [place for place, _ in points], [value.mean for _, value in points]
        look = style(index)
        axes.plot(x, means, linewidth=1.8, markersize=5, label=outcome.label_of(row.label), **look)
        if any(value.deviation is not None for _, value in points):
            spread = [value.deviation or 0.0 for _, value in points]
            low, high = ([m + sign * d for m, d in zip(means, spread, strict=True)] for sign in (-1, 1))
            axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
    popularity = [
        (place, outcome.references(label)["popularity"][metric])
        for place, label in places
        if label in outcome.first and metric in outcome.references(label).get("popularity", {})
    ]
    if popularity:
        axes.plot(*zip(*popularity, strict=True), color="#555555", linewidth=0.9, linestyle=":", label="popularity")
    axes.set_xticks([place for place, _ in places])
    quiet(axes)


def _heat_map(axes: Any, outcome: Outcome, metric: str) -> None:
    """Rows from below, columns by their x; a cell that is missing stays empty."""
    import numpy as np

    study = outcome.study
    columns = sorted(study.columns, key=lambda column: column.x or 0.0)
    values = np.full((len(study.rows), len(columns)), np.nan)
    for i, row in enumerate(study.rows):
        for j, column in enumerate(columns):
            if (row.label, column.label) in outcome.systems:
                values[i, j] = outcome.systems[row.label, column.label].metrics[metric].mean
    axes.imshow(np.ma.masked_invalid(values), origin="lower", aspect="auto", cmap="cividis")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if value > middle else "white"
            axes.text(j, i, f"{value:.4f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), [column.label for column in columns])
    axes.set_yticks(range(len(study.rows)), [outcome.label_of(row.label) for row in study.rows])
