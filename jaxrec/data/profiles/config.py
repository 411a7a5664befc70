"""What a user says about the profiles of users that models read."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class UserProfilesConfig:
    """Fields of users beside their ids, categories and numbers."""

    path: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder that the precompute step `profiles` wrote. Its content is part of the hash, not its path."""
    source: Literal["auto", "none"] = "auto"
    """`auto`: the given path, else what the step would write with its defaults: the data's or the sample's traits, an
    income level where a table is shipped, and figures of the training part; `none`: no profiles."""
