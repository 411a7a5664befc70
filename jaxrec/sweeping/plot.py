"""The picture of a sweep: validation value over the trials, and over each field that was searched."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

from jaxrec.sweeping.record import data_name
from jaxrec.sweeping.search import short_names, shown_value
from jaxrec.sweeping.space import Choice, LogUniform, Space


def draw(path: pathlib.Path, summary: dict[str, Any], space: Space) -> bool:
    """Write a PNG from the content of sweep.json; False where matplotlib is not installed or no trial has a value."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
    except ImportError:
        return False
    trials = [trial for trial in summary["trials"] if trial["value"] is not None]
    if not trials:
        return False
    panels = len(space) + 1
    columns = 2 if panels in (2, 4) else min(3, panels)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    first, *others = figure.subplots(rows, columns, squeeze=False, sharey=True).flat

    _draw_points(first, summary, trials, lambda trial: trial["trial"])
    whole = [trial for trial in trials if trial["state"] == "done"]
    best = list(itertools.accumulate((trial["value"] for trial in whole), max))
    first.step([trial["trial"] for trial in whole], best, where="post", color="0.4", label="best so far", zorder=1)
    first.set_xlabel("trial")
    first.xaxis.set_major_locator(MaxNLocator(integer=True))
    first.legend(fontsize="small")

    names = short_names(list(space))
    for axis, (name, domain) in zip(others, space.items(), strict=False):
        seen = [trial["values"][name] for trial in trials]
        if isinstance(domain, Choice):
            places = list(dict.fromkeys([*domain.values, *seen]))
            axis.set_xticks(range(len(places)), [shown_value(value) for value in places])
            axis.set_xlim(-0.5, len(places) - 0.5)
            _draw_points(
                axis, summary, trials, lambda trial, name=name, places=places: places.index(trial["values"][name])
            )
        else:
            _draw_points(axis, summary, trials, lambda trial, name=name: trial["values"][name])
            if isinstance(domain, LogUniform) and min(seen) > 0:
                axis.set_xscale("log")
                axis.xaxis.set_major_locator(LogLocator(numticks=6))
                axis.xaxis.set_minor_formatter(NullFormatter())
                axis.set_xlim(min(domain.low, *seen) / 1.2, max(domain.high, *seen) * 1.2)
        axis.set_xlabel(names[name])
    for axis in others[len(space) :]:
        axis.set_axis_off()
    for row in range(rows):
        figure.axes[row * columns].set_ylabel(f"valid {summary['monitor']}")
    figure.suptitle(f"{summary['name']}, validation part of {data_name(summary)}")
    figure.savefig(path, dpi=120)
    return True


def _draw_points(
    axis: Any, summary: dict[str, Any], trials: list[dict[str, Any]], place: Callable[[dict[str, Any]], Any]
) -> None:
    """Trials by what they came to: whole, cut short, chosen."""
    for label, state, style in (("whole trial", "done", "oC0"), ("cut short, best until then", "cut short", "xC7")):
        some = [trial for trial in trials if trial["state"] == state]
        if some:
            axis.plot([place(trial) for trial in some], [trial["value"] for trial in some], style, label=label)
    best = summary["best"]
    if best is not None:
        axis.plot([place(best)], [best["value"]], "oC1", markersize=8, label="chosen")
