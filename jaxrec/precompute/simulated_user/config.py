"""What a user says about the step of the simulated user."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxrec.errors import UserError

FACTOR = 2
"""Of 2N candidates, N are kept (UiM, section III-D, the "2x" strategy)."""


@dataclasses.dataclass(frozen=True)
class SimulatedUserConfig:
    """Step "simulated_user": candidates of a recommender, put in order by an agent (UiM, section III-D)."""

    agent: Literal["llm", "replay", "identity", "random", "oracle"] = "llm"
    """Who answers: the backend's model, answers from a file, nobody (the order stays), chance, or the truth under
    noise."""
    template: Literal["accept_each", "rank", "accept_overall"] = "accept_each"
    """What the model is asked: to accept item by item (template 4 and b), to rank (3), to accept at once (a)."""
    candidates: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """topk.npz of a run; None: each user's most popular items, to try things out."""
    top: int = 10
    """N: items that are kept; the agent sees 2N."""
    memory_items: int = 30
    """Training items that the prompt tells, at most: the latest."""
    things: str = "items"
    """What the items are, in the plural: movies, games, products."""
    consumed: str = "chosen"
    """What one has done with them: watched, played, bought."""
    replies: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """For the agent `replay`: a file feedback.jsonl, as this step writes it."""
    oracle_noise: float = 1.0
    """For the agent `oracle`: standard deviation of the noise on the truth."""
    seed: int = 0
    """Of the oracle's noise, of chance, and of the model's answers."""
    user_limit: int | None = None
    """Ask for the first so many users of the candidates alone; None asks for all."""

    def validate(self) -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        for field, least in (("top", 1), ("memory_items", 0), ("oracle_noise", 0)):
            if getattr(self, field) < least:
                raise UserError(f"simulated_user.{field}: found {getattr(self, field)}, allowed: {least} or more")
        if self.user_limit is not None and self.user_limit < 1:
            raise UserError(f"simulated_user.user_limit: found {self.user_limit}, allowed: 1 or more, or None for all")
        if (self.agent == "replay") != (self.replies is not None):
            found = "none" if self.replies is None else self.replies
            raise UserError(
                f"simulated_user.replies: found {found} beside agent {self.agent}; allowed: with agent replay"
            )
        for field in ("things", "consumed"):
            if not getattr(self, field).replace(" ", "").isalpha():
                raise UserError(f"simulated_user.{field}: found {getattr(self, field)!r}, allowed: words")
