"""From the user's own ids to integer ids, with the nearest ids named where one is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from jaxrec.data.interactions import IdMap
from jaxrec.errors import UserError


def known_ids(raw_ids: Sequence[str], ids: IdMap, kind: str) -> np.ndarray:
    """Integer ids [n] int32 of raw ids; UserError for the first that is not in the data. kind: "user" or "item"."""
    encoded = ids.encode(raw_ids)
    unknown = np.flatnonzero(encoded < 0)
    if len(unknown):
        raise UserError(unknown_id(str(raw_ids[unknown[0]]), ids, kind))
    return encoded


def unknown_id(raw: str, ids: IdMap, kind: str) -> str:
    """The sentence for an id that is not in the data."""
    # Ids of like length only: comparing with millions of ids would take longer than a user waits.
    lengths = np.strings.str_len(ids.raw)
    alike = ids.raw[np.abs(lengths - len(raw)) <= 2][:100_000].tolist()
    near = difflib.get_close_matches(raw, alike, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"they look like: {', '.join(ids.raw[:3].tolist())}"
    return f"{kind} {raw!r} is not among the {len(ids):,} {kind}s of the data; {hint}"
