"""Steam reviews and game metadata (the public files hold Python literals)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.json_lines import Fields, pick_fields, read_events, read_objects
from jaxrec.data.readers.metadata import ItemMetadata, as_text, as_words
from jaxrec.data.readers.problems import BadRows

# Many reviews have no user_id, every one has a username.
REVIEWS = (
    Fields("username", "product_id", None, "date", "date", "text"),
    Fields("user_id", "product_id", None, "date", "date", "text"),
)


def read_reviews(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """`steam_reviews.json`: implicit feedback with dates, taken as UTC."""
    return read_events(path, pick_fields(path, REVIEWS, "Steam review JSON"), bad, config.reviews)


def read_games(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """`steam_games.json`: genres become categories, tags and specs keywords, the developer the brand."""
    for _, value in read_objects(path, bad):
        if value.get("id"):
            yield ItemMetadata(
                raw_id=str(value["id"]),
                title=as_text(value.get("app_name") or value.get("title")),
                description=as_text(value.get("description") or value.get("short_description")),
                brand=as_text(value.get("developer") or value.get("publisher")),
                categories=as_words(value.get("genres")),
                keywords=tuple(dict.fromkeys(as_words(value.get("tags")) + as_words(value.get("specs")))),
                image=as_text(value.get("header_image")),
            )
