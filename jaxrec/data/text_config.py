"""What a user says about the text features of an experiment."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Where the text vectors of users and items come from."""

    path: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder with a manifest.json, or one .npy or .safetensors file. Its content is part of the hash, not its path."""
    encoder: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Local folder of a BERT sentence encoder, such as all-MiniLM-L6-v2. Its content is part of the hash."""
    source: Literal["auto", "none", "tfidf", "given", "encoder"] = "auto"
    """`auto`: the given path, else the encoder, else TF-IDF of the item texts beside the data, else none."""
    dim: int = 256
    """Width of the TF-IDF vectors (truncated SVD); fewer where the texts have fewer independent words."""
    min_df: int = 2
    """A word counts in TF-IDF if it stands in at least this many item texts."""
    shuffle: bool = False
    """Deal the texts to other items by a fixed rule: a control, does text help because of what it says?"""
    truncate_dim: int | None = None
    """Cut given or encoded vectors to their first columns, for models that are trained for it; None keeps all."""
    reviews: int = 0
    """Add up to this many training reviews to an item's text, and as many own ones to a user's (with data.reviews)."""
    review_chars: int = 400
    """Cut each of these reviews to this many characters."""
