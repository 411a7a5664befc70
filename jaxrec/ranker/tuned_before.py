"""A model that has learnt the same from the same examples, for a ranking that differs in what comes after.

With the target put into the pools of evaluation users or not, say: the pools of tuning users are the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from jaxrec.data.manifest import MANIFEST
from jaxrec.precompute.stage import USAGE

LEARNT = "learnt_sha256"
"""Of the manifest: the model that was begun with, how it learnt, and every token that it learnt from."""


class Before(NamedTuple):
    """The folder of a finished output of the step, and what its manifest counts."""

    folder: Path
    counts: dict[str, Any]


def tuned_before(parent: Path, learnt: str) -> Before | None:
    """An output beside the one to be made that holds the same model; None where there is none."""
    for path in sorted(parent.glob(f"tuning-*/{MANIFEST}")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(manifest, dict) and manifest.get("complete") is True and manifest.get(LEARNT) == learnt:
            return Before(path.parent, manifest["counts"])
    return None


def take_over(before: Before, folder: Path) -> None:
    """Copy the model, its losses and its times; what the stage writes is each output's own."""
    for path in sorted(before.folder.iterdir()):
        if path.is_file() and path.name not in (MANIFEST, USAGE):
            shutil.copy2(path, folder / path.name)
