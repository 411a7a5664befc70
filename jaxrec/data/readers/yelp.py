"""The Yelp Open Dataset: reviews, and businesses as items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.json_lines import Fields, pick_fields, read_events, read_objects
from jaxrec.data.readers.metadata import ItemMetadata, as_text, as_words
from jaxrec.data.readers.problems import BadRows

REVIEWS = (Fields("user_id", "business_id", "stars", "date", "date", "text"),)


def read_reviews(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """`yelp_academic_dataset_review.json`; dates are taken as UTC."""
    return read_events(path, pick_fields(path, REVIEWS, "Yelp review JSON"), bad, config.reviews)


def read_businesses(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """`yelp_academic_dataset_business.json`: the name is the title, the place (city, state) the description."""
    for _, value in read_objects(path, bad):
        if value.get("business_id"):
            place = [as_text(value.get(key)) for key in ("city", "state")]
            yield ItemMetadata(
                raw_id=str(value["business_id"]),
                title=as_text(value.get("name")),
                description=", ".join(filter(None, place)),
                categories=as_words(value.get("categories")),
            )
