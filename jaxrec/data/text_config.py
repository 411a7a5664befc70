"""What a user says about the text features of an experiment."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Where the text vectors of users and items come from."""

    path: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder with a manifest.json, or one .npy or .safetensors file. Its content is part of the hash, not its path."""
    source: Literal["auto", "none", "tfidf", "given"] = "auto"
    """`auto`: the given path, else TF-IDF of the item texts beside the data, else none."""
    dim: int = 256
    """Width of the TF-IDF vectors (truncated SVD); fewer where the texts have fewer independent words."""
    min_df: int = 2
    """A word counts in TF-IDF if it stands in at least this many item texts."""
