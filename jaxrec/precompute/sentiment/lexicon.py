"""Sentiment from a list of words: the lexicon of VADER, scored by the five rules of its paper.

Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM 2014,
section 3. Left out of what their program grew beyond these rules: idioms ("the bomb"), "least", "never so", the
repeated inspection of "no", and emoji. Constants are theirs.
"""

from __future__ import annotations

import dataclasses
import math
import re
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrec.data.prepared_cache import file_digest
from jaxrec.errors import UserError

FILE = "vader_lexicon.txt"
DEGREE, CAPITALS, NEGATION = 0.293, 0.733, -0.74
_DAMPING = (1.0, 0.95, 0.9)
"""How much of a degree word's effect is left at distance 1, 2, 3."""
_EXCLAMATION, _QUESTION, _MOST_QUESTIONS = 0.292, 0.18, 0.96
_NORMALISATION = 15.0
_BEFORE_BUT, _AFTER_BUT = 0.5, 1.5
_OF = re.compile(r"\b(kind|sort) of\b", re.IGNORECASE)
"""Two diminishers of two words; alone, "kind" is a friendly one."""
_MOST_CHARS = 20_000
"""A longer text is read so far: its score is near its bound by then."""

_INTENSIFIERS = (
    "absolutely", "amazingly", "awfully", "completely", "considerably", "decidedly", "deeply", "enormously",
    "entirely", "especially", "exceptionally", "extremely", "fabulously", "friggin", "fully", "greatly", "highly",
    "hugely", "incredibly", "intensely", "majorly", "more", "most", "particularly", "purely", "quite", "really",
    "remarkably", "so", "substantially", "thoroughly", "totally", "tremendously", "uber", "unbelievably", "unusually",
    "utterly", "very",
)  # fmt: skip
_DIMINISHERS = (
    "almost", "barely", "hardly", "kinda", "less", "little", "marginally", "occasionally", "partly", "scarcely",
    "slightly", "somewhat", "sorta",
)  # fmt: skip
_DEGREES: dict[str, float] = {}
_DEGREES.update(dict.fromkeys(_INTENSIFIERS, DEGREE))
_DEGREES.update(dict.fromkeys(_DIMINISHERS, -DEGREE))
_NEGATIONS = frozenset(
    (
        "aint", "cannot", "cant", "dont", "hadnt", "hasnt", "havent", "isnt", "neither", "never", "none", "nope",
        "nor", "not", "nothing", "nowhere", "shant", "wasnt", "werent", "without", "wont", "rarely", "seldom",
        "despite",
    )
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """valences: lower-case word -> mean valence, -4 to 4. sha256: of the file."""

    valences: dict[str, float]
    sha256: str


def read_lexicon(path: str | Path) -> Lexicon:
    """A file in VADER's form (word, mean valence, further columns; tabs between), or the folder that holds it.

    Raises: UserError where there is none, or a line is not of that form.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / FILE
    try:
        text, sha256 = path.read_text(encoding="utf-8"), file_digest(path)
    except FileNotFoundError:
        raise UserError(f"sentiment.lexicon: {path} not found; a folder with {FILE}, or such a file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({str(error).splitlines()[0]})") from error
    valences: dict[str, float] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        try:
            valence = float(fields[1])
        except (IndexError, ValueError):
            valence = math.nan
        # What is no number compares false, too.
        if not fields[0].strip() or not -4.0 <= valence <= 4.0:
            raise UserError(f"{path}: line {number}: found {line[:60]!r}; word, tab, valence from -4 to 4 is needed")
        # Texts are looked up in lower case: a word that stands in both spellings counts as in that one.
        if fields[0] == fields[0].lower():
            valences[fields[0]] = valence
        else:
            valences.setdefault(fields[0].lower(), valence)
    if not valences:
        raise UserError(f"{path}: holds no words; lines of word, tab, valence are needed")
    return Lexicon(valences, sha256)


def compound_scores(lexicon: Lexicon, texts: Sequence[str]) -> np.ndarray:
    """The compound score of each text, [n] float64 from -1 to 1; 0 where no word of it is known."""
    return np.array([_compound(lexicon.valences, text[:_MOST_CHARS]) for text in texts], np.float64)


def _compound(valences: dict[str, float], text: str) -> float:
    words = [_bare(word) for word in _OF.sub(r"\1a", text).split()]
    words = [word for word in words if len(word) > 1]
    lowered = [word.lower() for word in words]
    capitals = [word.isupper() for word in words]
    # Rule 2: capitals emphasise only where not all is written in them.
    mixed = any(capitals) and not all(capitals)
    scores = []
    for place, word in enumerate(lowered):
        valence = 0.0 if word in _DEGREES else valences.get(word, 0.0)
        if valence:
            if mixed and capitals[place]:
                valence += math.copysign(CAPITALS, valence)
            valence = _in_context(valence, place, lowered, valences, capitals if mixed else None)
        scores.append(valence)
    if "but" in lowered:
        # Rule 4: what stands after the but weighs more.
        turn = lowered.index("but")
        scores = [
            score * (_BEFORE_BUT if place < turn else _AFTER_BUT if place > turn else 1.0)
            for place, score in enumerate(scores)
        ]
    total = math.fsum(scores)
    if total:
        # Rule 1: punctuation makes it stronger, whichever way it points.
        total += math.copysign(_punctuation(text), total)
    return max(-1.0, min(1.0, total / math.sqrt(total * total + _NORMALISATION)))


def _in_context(
    valence: float, place: int, words: list[str], valences: dict[str, float], capitals: list[bool] | None
) -> float:
    """Rules 3 and 5: degree words and negations among the three words before change it."""
    sign = math.copysign(1.0, valence)
    for distance, damping in enumerate(_DAMPING, start=1):
        if distance > place:
            break
        before = words[place - distance]
        if before in valences and before not in _DEGREES and before not in _NEGATIONS:
            continue  # it speaks for itself
        degree = _DEGREES.get(before, 0.0)
        if degree:
            degree *= sign
            if capitals is not None and capitals[place - distance]:
                degree += math.copysign(CAPITALS, valence)
            valence += degree * damping
        if before.replace("'", "") in _NEGATIONS or before.endswith("n't"):
            valence *= NEGATION
    return valence


def _punctuation(text: str) -> float:
    questions = text.count("?")
    asked = 0.0 if questions < 2 else questions * _QUESTION if questions < 4 else _MOST_QUESTIONS
    return min(text.count("!"), 4) * _EXCLAMATION + asked


def _bare(word: str) -> str:
    """Without punctuation around it; what is left of two characters or fewer is an emoticon, which keeps it."""
    stripped = word.strip(string.punctuation)
    return word if len(stripped) <= 2 else stripped
