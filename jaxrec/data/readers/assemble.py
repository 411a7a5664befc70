"""Parts as read -> Interactions: integer ids that do not depend on the order of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.packed_text import PackedText
from jaxrec.data.readers.folder import Source
from jaxrec.errors import UserError

_OPTIONAL = ("rating", "timestamp", "behavior", "review")
_MAX_BEHAVIORS = 127


def in_order(raw: pl.Series) -> pl.Series:
    """Distinct values, in the order of numbers where all are integers, else of str."""
    distinct = raw.unique().alias("raw")
    numbers = distinct.cast(pl.Int64, strict=False)
    if numbers.null_count():
        return distinct.sort()
    # "7" and "07" are two ids of one number: the text settles their order.
    return distinct.to_frame().sort(numbers, "raw")["raw"]


def encode(raw: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Integer ids [n] int32 and the raw id of each, a NumPy array of str."""
    distinct = in_order(raw)
    ids = pl.int_range(len(distinct), dtype=pl.Int32, eager=True).alias("id")
    column = (
        raw.alias("raw").to_frame().join(pl.DataFrame([distinct, ids]), on="raw", how="left", maintain_order="left")
    )
    names = np.array(distinct.to_list(), dtype=str)
    return column["id"].to_numpy(), names


def assemble(sources: Sequence[Source], frames: Sequence[pl.DataFrame]) -> tuple[Interactions, PackedText | None]:
    """One set of columns over one pair of id maps, in the order of the sources; and the review texts, where read.

    Raises UserError where parts differ in the columns they have, or there are more than 127 behaviours.
    """
    optional = [tuple(name for name in _OPTIONAL if name in frame) for frame in frames]
    for source, present in zip(sources, optional, strict=True):
        if present != optional[0]:
            this, first = ", ".join(present) or "none", ", ".join(optional[0]) or "none"
            raise UserError(
                f"{source.file}: found optional columns {this}, but {sources[0].file.name} has {first}; "
                "all parts need the same"
            )
    frame = pl.concat([frame.drop("line") for frame in frames])
    parts = None
    if sources[0].part is not None:
        lengths = [len(part) for part in frames]
        parts = np.repeat(np.array([source.part for source in sources], np.int8), lengths)
    user_ids, users = encode(frame["user"])
    item_ids, items = encode(frame["item"])
    behaviors, behavior_names = None, np.array([], dtype=str)
    if "behavior" in frame:
        behaviors, behavior_names = encode(frame["behavior"])
        if len(behavior_names) > _MAX_BEHAVIORS:
            raise UserError(
                f"{sources[0].file}: found {len(behavior_names)} behaviours; at most {_MAX_BEHAVIORS} are allowed"
            )
        behaviors = behaviors.astype(np.int8)
    reviews, texts = _pack_reviews(frame["review"], sources) if "review" in frame else (None, None)
    interactions = Interactions(
        user_ids=user_ids,
        item_ids=item_ids,
        users=IdMap(users),
        items=IdMap(items),
        ratings=frame["rating"].to_numpy() if "rating" in frame else None,
        timestamps=frame["timestamp"].to_numpy() if "timestamp" in frame else None,
        behaviors=behaviors,
        behavior_names=tuple(behavior_names.tolist()),
        parts=parts,
        reviews=reviews,
    )
    return interactions, texts


def _pack_reviews(column: pl.Series, sources: Sequence[Source]) -> tuple[np.ndarray, PackedText]:
    """Each row's text in the table ([n] int32, -1 for none), and the table. Raises UserError where there is none."""
    has_text = column.is_not_null().to_numpy()
    if not has_text.any():
        raise UserError(
            f"{sources[0].file}: found no review text in {len(column)} rows; without --data.reviews it can be read"
        )
    rows = np.where(has_text, np.cumsum(has_text) - 1, -1).astype(np.int32)
    # A million Python strings at a time: there may be more than fit at once.
    texts = column.drop_nulls()
    return rows, PackedText.pack(text for part in texts.to_frame().iter_slices(1_000_000) for text in part.to_series())
