"""What reading a source yields."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jaxrec.data.interactions import Interactions
from jaxrec.data.packed_text import PackedText


@dataclasses.dataclass(frozen=True, eq=False)
class ReadResult:
    """Interactions as the source has them, unfiltered, and how they were found.

    interactions.parts is set where the source is divided into train, valid and test. skipped_rows: bad rows left out
    under `on_bad_row = "skip"`; examples: the first of them, one message each. files: every file read. item_text: raw
    item id -> title, categories, description and the like in one string, or None where the source has none; it may
    hold items without interactions. format: as declared or detected. reviews: texts that interactions.reviews refers
    to, None where they were not asked for. item_fields: categorical field -> raw item id -> value.
    """

    interactions: Interactions
    skipped_rows: int
    examples: tuple[str, ...]
    files: tuple[Path, ...]
    item_text: dict[str, str] | None
    format: str
    reviews: PackedText | None = None
    item_fields: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
