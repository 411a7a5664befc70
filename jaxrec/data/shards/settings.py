"""Which settings of the data can be prepared by streaming; each of the others is refused by name."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from jaxrec.data.config import DataConfig
from jaxrec.data.filters import check_filter
from jaxrec.data.recipe import recipe
from jaxrec.data.splits import check_split
from jaxrec.errors import UserError

FORMATS = ("csv", "tsv", "parquet")
"""Formats that are read in stretches."""

_ONLY_READING = ("version", "format", "columns", "on_bad_row")
"""Parts of a recipe that say how a source is read: once there are shards, nothing more is to be read."""


def check_streamable(config: DataConfig) -> None:
    """Raise UserError for a setting that needs all interactions at once, or that shards have no place for."""
    check_filter(config.filter)
    check_split(config)
    refused: tuple[tuple[str, Any, bool, str], ...] = (
        ("behaviors", " ".join(config.behaviors), bool(config.behaviors), "none: shards hold one behaviour"),
        ("reviews", config.reviews, config.reviews, "False: shards hold pairs alone"),
        ("pool", config.pool, config.pool, "False: divided sources are not streamed"),
        ("noise", config.noise, config.noise > 0, "0: noise is drawn against all pairs at once"),
        ("filter.duplicates", config.filter.duplicates, config.filter.duplicates == "keep", "first or last"),
        (
            "split",
            config.split,
            config.split not in ("ratio", "leave_one_out"),
            "ratio or leave_one_out, which divide each user's interactions by themselves",
        ),
        ("format", config.format, config.format not in ("auto", *FORMATS), f"auto, {', '.join(FORMATS)}"),
    )
    for field, found, holds, allowed in refused:
        if holds:
            raise UserError(f"data.{field}: found {found} with --shards, allowed: {allowed}")


def check_same_recipe(config: DataConfig, recorded: dict[str, Any], folder: pathlib.Path) -> None:
    """Raise UserError where the settings ask for other data than what a folder of shards was prepared as."""
    asked = json.loads(json.dumps(recipe(config)))
    for field in sorted({*asked, *recorded} - set(_ONLY_READING)):
        here, there = asked.get(field), recorded.get(field)
        if field == "filter" and isinstance(here, dict) and isinstance(there, dict):
            name = next((name for name in sorted({*here, *there}) if here.get(name) != there.get(name)), None)
            if name is not None:
                field, here, there = f"filter.{name}", here.get(name), there.get(name)
        if here != there:
            raise UserError(f"data.{field}: found {here}, but {folder} was prepared with {there}; allowed: the latter")
