"""Pictures of a run: items' features by t-SNE, and what each expert adds to users' vectors."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from jaxrec.figures import COLOURS, MARKERS, new_figure, save_png


def draw_tsne(
    panels: Mapping[str, np.ndarray], captions: Mapping[str, str], labels: np.ndarray | None, path: pathlib.Path
) -> None:
    """A t-SNE of each set of rows [n, w], side by side. labels: [n] int, by which rows have a colour and a sign.

    Raises ImportError where openTSNE or matplotlib is missing.
    """
    from openTSNE import TSNE

    canvas, axes = new_figure(len(panels))
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        perplexity = min(30, max(2, (len(rows) - 1) // 4))
        placed = np.asarray(TSNE(perplexity=perplexity, random_state=0, n_jobs=1).fit(rows.astype(np.float64)))
        for label in [0] if labels is None else np.unique(labels):
            some = placed if labels is None else placed[labels == label]
            marker = MARKERS[label // len(COLOURS) % len(MARKERS)]
            axis.scatter(*some.T, s=6, color=COLOURS[label % len(COLOURS)], marker=marker, linewidths=0)
        axis.set_title(f"{title}\n{captions[title]}", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    save_png(canvas, path)


def draw_gates(experts: Sequence[str], shares: Sequence[float], path: pathlib.Path) -> None:
    """Each expert's share of what is added to a user's vector. Raises ImportError where matplotlib is missing."""
    canvas, (axis,) = new_figure(1)
    places = range(len(experts))
    axis.barh(places, shares, color=COLOURS[0])
    axis.set_yticks(places, experts)
    axis.invert_yaxis()
    axis.set_xlabel("share of the lengths of the summands of a user's vector")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    save_png(canvas, path)
