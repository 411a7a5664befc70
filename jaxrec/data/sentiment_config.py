"""What a user says about the sentiment of interactions: read by the step that makes it and by models that need it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class SentimentConfig:
    """Step "sentiment": one of five sentiments for each interaction (SEALR, section 2.1)."""

    source: Literal["auto", "goemotions", "lexicon", "rating"] = "auto"
    """`auto`: goemotions where model is given, else lexicon where that is given, else the rating."""
    model: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Local folder of a RoBERTa trained on GoEmotions (28 labels), such as SamLowe/roberta-base-go_emotions."""
    mapping: str = "official"
    """From 28 emotions to five sentiments: official, paper, or a TOML file."""
    lexicon: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """VADER's lexicon: vader_lexicon.txt, or the folder that holds it."""
    rating_scale: tuple[float, float] = (1.0, 5.0)
    """Worst and best rating, for the source `rating`."""

    def chosen(self) -> str:
        """The source that `auto` stands for. Raises: UserError where what it needs is not given."""
        needs = {"goemotions": ("model", self.model), "lexicon": ("lexicon", self.lexicon)}
        if self.source == "auto":
            return next((source for source, (_, given) in needs.items() if given is not None), "rating")
        if self.source in needs and needs[self.source][1] is None:
            raise UserError(
                f"sentiment.source: found {self.source}, allowed with --sentiment.{needs[self.source][0]} PATH"
            )
        return self.source

    def validate(self) -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        self.chosen()
        lowest, highest = self.rating_scale
        if not lowest < highest:
            raise UserError(f"sentiment.rating_scale: found {lowest:g} {highest:g}, allowed: the lower one first")
