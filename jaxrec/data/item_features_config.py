"""What a user says about the vectors of items that multimodal models read."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ItemFeaturesConfig:
    """Frozen vectors of items beside their ids, one matrix a modality."""

    paths: tuple[str, ...] = dataclasses.field(default=(), metadata={"hash": False})
    """One `modality=PATH` each, such as `image=features/image`: a folder with a manifest.json, one .npy or .safetensors
    file with a row for every item, or one .txt file with an item's id and its numbers a line. Their content is part of
    the hash, not their paths."""
    text: bool = dataclasses.field(default=False, metadata={"added": "0.2"})
    """The vectors of item texts that `text` describes, as the modality `text`."""
    source: Literal["auto", "none"] = "auto"
    """`auto`: the given paths, else the vectors of the built-in sample, else none; `none`: none of these."""
