"""What a user says about the profiles step."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ProfilesConfig:
    """Step "profiles": fields of each user (UiM, Eq. 2 and 3)."""

    demographics: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """users.dat, or CSV with a column `user` and one a field, `NAME:number` for numbers; None: users.dat beside the
    interactions, the sample's traits, or none."""
    income_table: str | None = "auto"
    """From occupation and place to an income level: ml1m, sample, or a TOML file. auto: that of the demographics, where
    one is shipped for them; None: no income field."""
