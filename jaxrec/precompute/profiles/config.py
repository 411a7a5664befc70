"""What a user says about the profiles step."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ProfilesConfig:
    """Step "profiles": categorical fields of each user (UiM, Eq. 2 and 3)."""

    demographics: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """users.dat, or CSV with a column `user`; None: users.dat beside the interactions, the sample's traits, or none."""
    income_table: str | None = "auto"
    """From occupation and place to an income level: ml1m, sample, or a TOML file. auto: that of the demographics, where
    one is shipped for them; None: no income field."""

    def table_for(self, source: str) -> str | None:
        """The table that `auto` stands for with demographics of this source (a file's name, or "sample")."""
        if self.income_table != "auto":
            return self.income_table
        return {"users.dat": "ml1m", "sample": "sample"}.get(source)
