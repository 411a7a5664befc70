"""Item texts and reviews of the sample: the planted truth put into words."""

from __future__ import annotations

import numpy as np

from jaxrec.data.sample.vocabulary import EMOTIONS, FILLERS, MOTIVATIONS, SENTIMENTS, THEMES

REVIEWED_SHARE = 0.6
STRAY_PHRASE_SHARE = 0.2
FILLER_SHARE = 0.3

# Rows: 1 to 5 stars. Columns: sentiments from worst to best. What is written is not always what was starred.
SENTIMENT_OF_RATING = np.array(
    [
        [0.70, 0.25, 0.05, 0.00, 0.00],
        [0.20, 0.60, 0.15, 0.05, 0.00],
        [0.02, 0.23, 0.50, 0.20, 0.05],
        [0.00, 0.05, 0.15, 0.55, 0.25],
        [0.00, 0.01, 0.04, 0.25, 0.70],
    ]
)


def write_item_texts(
    rng: np.random.Generator, item_motivations: np.ndarray, item_themes: np.ndarray
) -> tuple[str, ...]:
    """Title and description of every item, naming its motivations and themes in words.

    A share of the descriptions also praises a motivation that the item does not serve, as store pages do.
    """
    texts, taken = [], set()
    for motivations, themes in zip(item_motivations, item_themes, strict=True):
        whys = _by_weight(motivations)
        whats = _by_weight(themes)
        title = _title(rng, whats[0], whys[0], taken)
        promises, places = [], []
        for why in whys:
            promises += _pick_some(rng, MOTIVATIONS[why].promises, 4 - len(whys))
        if rng.random() < STRAY_PHRASE_SHARE:
            promises += _pick_some(rng, MOTIVATIONS[rng.integers(len(MOTIVATIONS))].promises, 1)
        for what in whats:
            places += _pick_some(rng, THEMES[what].phrases, 3 - len(whats))
        rest = [f"{_capital(promise)}." for promise in promises[2:]]
        if rng.random() < FILLER_SHARE:
            rest.append(_pick(rng, FILLERS))
        set_there = [f"{_capital(promises[index])} {places[index]}." for index in range(2)]
        sentences = [*set_there, *(rest[index] for index in rng.permutation(len(rest)))]
        tags = ", ".join([MOTIVATIONS[why].tag for why in whys] + [THEMES[what].name for what in whats])
        texts.append(" ".join([f"{title}.", *sentences, f"Tags: {tags}."]))
    return tuple(texts)


def _title(rng: np.random.Generator, theme: int, motivation: int, taken: set[str]) -> str:
    """A title of theme and motivation that no other item has; the second of a kind is a sequel."""
    title = f"{_pick(rng, THEMES[theme].titles)} {_pick(rng, MOTIVATIONS[motivation].titles)}"
    sequel, number = title, 2
    while sequel in taken:
        sequel, number = f"{title} {number}", number + 1
    taken.add(sequel)
    return sequel


def draw_emotions(rng: np.random.Generator, ratings: np.ndarray) -> np.ndarray:
    """The emotion that each rating [n] is written up with: [n] int8 index into EMOTIONS."""
    shares = SENTIMENT_OF_RATING[ratings.astype(np.int64) - 1]
    sentiments = (np.cumsum(shares, axis=1) <= rng.random(len(ratings))[:, None]).sum(axis=1)
    members = [[index for index, emotion in enumerate(EMOTIONS) if emotion.sentiment == name] for name in SENTIMENTS]
    sizes = np.array([len(group) for group in members])
    table = np.array([group + [0] * (sizes.max() - len(group)) for group in members])
    return table[sentiments, rng.integers(0, sizes[sentiments])].astype(np.int8)


def write_reviews(rng: np.random.Generator, reasons: np.ndarray, emotions: np.ndarray) -> tuple[str, ...]:
    """One text a review: an opening that shows the emotion, then the motivation that was met or missed.

    reasons: [n] index into MOTIVATIONS; emotions: [n] index into EMOTIONS.
    """
    draws = rng.random((len(reasons), 3)).tolist()
    texts = []
    for reason, emotion_id, (first, second, third) in zip(reasons.tolist(), emotions.tolist(), draws, strict=True):
        emotion, motivation = EMOTIONS[emotion_id], MOTIVATIONS[reason]
        sentiment = SENTIMENTS.index(emotion.sentiment)
        # A neutral review is as likely to speak of what it found as of what it missed.
        pleased = sentiment > 2 or (sentiment == 2 and third < 0.5)
        grounds = motivation.praises if pleased else motivation.complaints
        opening = emotion.openings[int(first * len(emotion.openings))]
        texts.append(f"{opening} {_capital(grounds[int(second * len(grounds))])}.")
    return tuple(texts)


def _by_weight(weights: np.ndarray) -> list[int]:
    """Indices of the nonzero weights, heaviest first."""
    return [int(index) for index in np.argsort(-weights, kind="stable") if weights[index] > 0]


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _pick_some(rng: np.random.Generator, choices: tuple[str, ...], count: int) -> list[str]:
    return [choices[index] for index in rng.permutation(len(choices))[:count]]


def _capital(phrase: str) -> str:
    return phrase[0].upper() + phrase[1:]
