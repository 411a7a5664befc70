"""Amazon reviews and item metadata, in the forms of 2014, 2018 and 2023."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.json_lines import Fields, pick_fields, read_events, read_objects
from jaxrec.data.readers.metadata import ItemMetadata, as_text, as_words
from jaxrec.data.readers.problems import BadRows

REVIEWS = (
    Fields("reviewerID", "asin", "overall", "unixReviewTime", review="reviewText"),
    Fields("user_id", "parent_asin", "rating", "timestamp", "milliseconds", "text"),
)


def read_reviews(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """One review a line; the item is `asin`, or `parent_asin` since 2023."""
    return read_events(path, pick_fields(path, REVIEWS, "Amazon review JSON"), bad, config.reviews)


def read_metadata(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """One item a line (`meta_*.json`); Python literals in the form of 2014."""
    for _, value in read_objects(path, bad):
        raw_id = value.get("parent_asin") or value.get("asin")
        if raw_id:
            yield ItemMetadata(
                raw_id=str(raw_id),
                title=as_text(value.get("title")),
                description=as_text(value.get("description")),
                brand=as_text(value.get("brand") or value.get("store")),
                categories=as_words(_categories(value)),
                image=_image(value),
            )


def _categories(value: dict[str, Any]) -> object:
    return value.get("categories") or value.get("category") or [value.get("main_category") or ""]


def _image(value: dict[str, Any]) -> str:
    """imUrl (2014); the first of imageURLHighRes, imageURL or image (2018); hi_res or large of the first of images."""
    images = value.get("images")
    if isinstance(images, list) and images and isinstance(images[0], dict):
        return as_text(images[0].get("hi_res") or images[0].get("large"))
    for key in ("imUrl", "imageURLHighRes", "imageURL", "image"):
        entry = value.get(key)
        if isinstance(entry, list):
            entry = entry[0] if entry else ""
        if entry:
            return as_text(entry)
    return ""
