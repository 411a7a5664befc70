"""Lines of a raw id and its vector, blanks between: the form in which MCLN publishes features of items.

`item2imgfeat.txt` (4096 numbers a line) and `itemtitle2vec.txt` (300) stand beside `train.txt` and `test.txt`, which
are adjacency text; an item without a line has no feature.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from jaxrec.errors import UserError


def read_vector_lines(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Raw ids [n], each once, and vectors [n, dim] float32 in the order of the lines.

    Raises: UserError naming the line that is empty, repeats an id, holds what is no finite number, or fewer or more
    numbers than the first.
    """
    lines_of: dict[str, int] = {}
    rows: list[np.ndarray] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                raw, _, rest = line.strip().partition(" ")
                row = _numbers(rest)
                if row is None:
                    raise UserError(
                        f"{path}: line {number}: found {line.strip()[:40]!r}; an id and finite numbers needed"
                    )
                if rows and len(row) != len(rows[0]):
                    raise UserError(f"{path}: line {number}: {len(row)} numbers; {len(rows[0])} stand on line 1")
                if lines_of.setdefault(raw, number) != number:
                    raise UserError(f'{path}: line {number}: id "{raw}" stands on line {lines_of[raw]} already')
                rows.append(row)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not rows:
        raise UserError(f"{path}: empty; lines of an id and its numbers are needed")
    return tuple(lines_of), np.stack(rows)


def _numbers(text: str) -> np.ndarray | None:
    """The numbers of a line, None where there are none or one is not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            row = np.fromstring(text, dtype=np.float32, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    return row if len(row) and np.isfinite(row).all() else None
