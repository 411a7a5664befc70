"""Which of five sentiments each of the 28 emotions of GoEmotions belongs to."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import numpy as np

from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.data.source import digest
from jaxrec.errors import UserError

NEUTRAL = SENTIMENTS.index("neutral")
SHIPPED = Path(__file__).parent / "mappings"
GO_EMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
"""The labels of GoEmotions (Demszky et al. 2020) in its own order."""


@dataclasses.dataclass(frozen=True)
class Mapping:
    """name: of the file. sentiment_of: emotion -> class id, an index into SENTIMENTS (0 the worst). sha256: of that."""

    name: str
    sentiment_of: dict[str, int]
    sha256: str

    def table(self, emotions: tuple[str, ...]) -> np.ndarray:
        """The class id of each of the emotions, in their order: [len(emotions)] int8."""
        return np.array([self.sentiment_of[emotion] for emotion in emotions], np.int8)


def read_mapping(name: str) -> Mapping:
    """A shipped mapping by its name (official, paper), or one from a TOML file: sentiment = list of emotions.

    Raises: UserError where the file is none, names an unknown sentiment or emotion, or leaves one out or has it twice.
    """
    shipped = sorted(file.stem for file in SHIPPED.glob("*.toml"))
    path = SHIPPED / f"{name}.toml" if name in shipped else Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"sentiment.mapping: {name} is no file; allowed: {', '.join(shipped)}, or a TOML file")
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as TOML ({str(error).splitlines()[0]})") from error
    sentiment_of: dict[str, int] = {}
    for sentiment, emotions in value.items():
        if sentiment not in SENTIMENTS:
            raise UserError(f"{path}: sentiment {sentiment!r}; allowed: {', '.join(SENTIMENTS)}")
        if not isinstance(emotions, list):
            raise UserError(f"{path}: {sentiment}: found {emotions!r}; a list of emotions is needed")
        for emotion in emotions:
            if emotion not in GO_EMOTIONS:
                raise UserError(f"{path}: {sentiment}: emotion {emotion!r}; allowed: {', '.join(GO_EMOTIONS)}")
            if emotion in sentiment_of:
                raise UserError(f"{path}: {sentiment}: emotion {emotion!r} stands under another sentiment or twice")
            sentiment_of[emotion] = SENTIMENTS.index(sentiment)
    left_out = [emotion for emotion in GO_EMOTIONS if emotion not in sentiment_of]
    if left_out:
        raise UserError(f"{path}: no sentiment for {', '.join(left_out)}; each of the 28 emotions needs one")
    return Mapping(path.stem, sentiment_of, digest(sorted(sentiment_of.items())))
