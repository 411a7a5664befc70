"""What the figures of every command share: colours that everyone tells apart, quiet axes, a file that is whole."""

from __future__ import annotations

import pathlib
from typing import Any

# The palette of Okabe and Ito (2008), which readers of every kind of colour vision tell apart; line and marker differ
# too, for a print without colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (1, 1)))


def new_figure(num_panels: int) -> tuple[Any, list[Any]]:
    """A figure with panels side by side. Raises ImportError where matplotlib is missing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * num_panels, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, num_panels, squeeze=False)[0])


def style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the curve with this number."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def quiet(axes: Any) -> None:
    """Thin horizontal lines, no frame above and at the right, a legend without a box."""
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def save_png(figure: Any, path: pathlib.Path) -> None:
    """Write the figure; the file is there whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    figure.savefig(partial, format="png", metadata={"Software": None})
    partial.replace(path)
