"""What a user says about the data of an experiment."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ColumnsConfig:
    """Names of the columns of a CSV, TSV or Parquet file."""

    user: str = "user"
    """Column of user ids."""
    item: str = "item"
    """Column of item ids."""
    rating: str = "rating"
    """Column of ratings; used where present."""
    timestamp: str = "timestamp"
    """Column of times in seconds; used where present."""
    behavior: str = "behavior"
    """Column of behaviour names; used where present."""
    review: str = "review"
    """Column of review texts; used with data.reviews."""


@dataclasses.dataclass(frozen=True)
class FilterConfig:
    """Which interactions are kept, applied in the order of the fields and recorded in the provenance."""

    behavior: str | None = None
    """Keep only this behaviour (where the source has several)."""
    min_rating: float | None = None
    """Keep ratings of at least this."""
    start_time: int | None = None
    """Keep interactions at or after this time (seconds since 1970)."""
    end_time: int | None = None
    """Keep interactions before this time (seconds since 1970)."""
    duplicates: Literal["first", "last", "keep"] = "first"
    """Which of several interactions of one user with one item stays."""
    user_core: int = 0
    """Every user has at least this many interactions (iterated with item_core to a fixed point)."""
    item_core: int = 0
    """Every item has at least this many interactions."""
    min_events: int = dataclasses.field(default=0, metadata={"added": "0.2"})
    """Users with fewer events over all behaviours are left out."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where interactions come from, which are kept and how they are split."""

    name: str = "sample"
    """Name of the data set: looked up as $JAXREC_DATA/<name> when no path is given."""
    path: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """File or folder of interactions. Without it: $JAXREC_DATA/<name>, then the built-in sample."""
    format: Literal[
        "auto", "csv", "tsv", "parquet", "recbole", "adjacency", "sequences", "movielens", "amazon", "yelp", "steam",
        "rectmall", "kuaishou",
    ] = "auto"  # fmt: skip
    """Format of the files; `auto` tells it from their content."""
    columns: ColumnsConfig = ColumnsConfig()
    require_real: bool = dataclasses.field(default=False, metadata={"hash": False})
    """Refuse to fall back to the built-in sample."""
    pool: bool = False
    """Join the parts that a divided source gives and split them anew."""
    on_bad_row: Literal["error", "skip"] = "error"
    """A bad row stops the load, or is counted and reported."""
    reviews: bool = False
    """Keep the review text of each interaction, for sources that have it; it takes memory and room in the cache."""
    behaviors: tuple[str, ...] = dataclasses.field(default=(), metadata={"added": "0.2"})
    """Behaviours, shallow first, the target last, each `name=source` or `name=source+source`: `click=view`,
    `favor=cart+buy`. Of joined sources the first event of a user with an item counts. Without any, all are one."""
    implied: Literal["keep", "drop"] = dataclasses.field(default="keep", metadata={"added": "0.2"})
    """Events of other behaviours that the target with the same item follows: kept, or left out as implied by it. Where
    a click comes minutes before nearly every favor, the last click tells the target."""
    implied_within: int = dataclasses.field(default=3600, metadata={"added": "0.2"})
    """Seconds within which the target follows what it implies. What is left tells of its absence for so long alone."""
    filter: FilterConfig = FilterConfig()
    split: Literal["given", "ratio", "leave_one_out", "global_temporal"] = "ratio"
    """How interactions become train, valid and test."""
    leave_one_out_from: int = dataclasses.field(default=3, metadata={"added": "0.2"})
    """`leave_one_out` divides users with at least so many interactions of the target; 2 and 1 leave nothing of some in
    train, which is for those whose other behaviours tell enough."""
    ratio: tuple[float, float, float] = (3.0, 1.0, 1.0)
    """Shares of train, valid and test for `ratio` (per user) and `global_temporal` (over all)."""
    order: Literal["random", "temporal"] = "random"
    """Which interactions of a user go to which part in a ratio split: by seed, or the latest are test."""
    split_seed: int = 0
    """Seed of a random split; apart from the training seed, so that seeds share a split."""
    noise: float = 0.0
    """Share of the training interactions added as pairs that stand in no part: what a model suffers from noise."""
    noise_seed: int = 0
    """Seed of these pairs; those of a smaller share are the first of those of a larger one."""
    published: tuple[int, ...] = dataclasses.field(default=(), metadata={"added": "0.2", "hash": False})
    """Interactions, users and items as a paper counts them; jaxrec.prepare prints them beside what is found."""
    cache: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of prepared data sets (default: $JAXREC_CACHE or ~/.cache/jaxrec)."""
