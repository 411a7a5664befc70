"""What a user says about the profiles of users that models read."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class UserProfilesConfig:
    """Fields of users beside their ids, categories and numbers."""

    path: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder that the precompute step `profiles` wrote. Its content is part of the hash, not its path."""
    source: Literal["auto", "none"] = "auto"
    """`auto`: the given path, else what the step would write with its defaults: the data's or the sample's traits, an
    income level where a table is shipped, and figures of the training part; `none`: no profiles."""


def check_profiles(config: UserProfilesConfig) -> None:
    """Raise UserError for settings that contradict each other, whatever the data."""
    if config.path == "":
        raise UserError("profiles.path: found '', allowed: a folder that the precompute step profiles wrote")
    if config.path is not None and config.source == "none":
        raise UserError("profiles.source: found none beside profiles.path, allowed: auto")
