"""The figure of growth curves: a panel for each axis, every cost relative to the smallest size, both in logarithms."""

from __future__ import annotations

import pathlib
from typing import Any

from jaxrec.errors import UserError
from jaxrec.figures import new_figure, quiet, save_png, style

LABELS = {
    "counted_operations": "operations",
    "counted_bytes": "bytes read or written",
    "temporary_bytes": "temporary memory",
    "argument_bytes": "state and data",
    "collective_bytes": "bytes said",
    "seconds": "seconds",
}


def draw_growth(curves: dict[str, Any], path: pathlib.Path) -> None:
    """Write a PNG. curves: of the entry of the workload `growth`. Raises UserError where it cannot be drawn."""
    try:
        figure, panels = new_figure(len(curves))
    except ImportError:
        raise UserError("--figure: matplotlib is not installed; pip install 'jaxrec[plots]'") from None
    for (axis, curve), axes in zip(curves.items(), panels, strict=True):
        for place, (cost, label) in enumerate(LABELS.items()):
            pairs = zip(curve["sizes"], curve["costs"].get(cost, ()), strict=False)
            known = [(size, value) for size, value in pairs if value]
            slope = curve["exponents"].get(cost)
            if len(known) < 2 or slope is None:
                continue
            sizes = [size for size, _ in known]
            values = [value / known[0][1] for _, value in known]
            axes.plot(sizes, values, label=f"{label}: {slope:+.2f}", **style(place))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xlabel(axis)
        axes.set_ylabel("cost, against the smallest size")
        quiet(axes)
    try:
        save_png(figure, path)
    except OSError as error:
        raise UserError(
            f"--figure: found {str(path)!r} ({error.strerror}), allowed a file that can be written"
        ) from None
