"""A shop of twelve things with reviews, small enough to reason about: calm things, hard ones, and users of each."""

import dataclasses

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.packed_text import PackedText
from tests.data.making import interactions

CALM, HARD = range(6), range(6, 12)
USERS = 8
PLACES = ("garden", "harbour", "castle", "forest", "station", "desert")
TOLD = "zanzibarite"
"""A word that nothing says but reviews of valid and test."""


def item_texts():
    """Two kinds of six things each; every place has one of both."""
    calm = [f"Calm {place}. Relax by soft lamplight and unwind. Tags: cozy, {place}." for place in PLACES]
    hard = [f"Brutal {place}. Hardcore duels for ranked rivals. Tags: competitive, {place}." for place in PLACES]
    return (*calm, *hard)


def shop(train_text="Lovely lanterns, it calms me.", texts=None, hard_text="The servers crash.", **changes):
    """Users 0 to 3 have calm things in training, the others hard ones; valid and test hold one of each kind.

    Every row has a review: `train_text` of calm things with 5 stars, `hard_text` of hard ones with 1 star, and the
    word TOLD in those of valid and test.
    """
    kind = [CALM if user < USERS // 2 else HARD for user in range(USERS)]
    train = [(user, kind[user][(user + step) % 6]) for user in range(USERS) for step in range(4)]
    valid = [(user, kind[user][(user + 4) % 6]) for user in range(USERS)]
    test = [(user, kind[user][(user + 5) % 6]) for user in range(USERS)]
    raw = [f"user {user}" for user in range(USERS)], [f"thing {item}" for item in range(12)]
    said, parts, first = [], [], 0
    for pairs, told in ((train, None), (valid, f"{TOLD} in valid"), (test, f"{TOLD} in test")):
        stars = [5.0 if item in CALM else 1.0 for _, item in pairs]
        part = interactions(pairs, ratings=stars, raw=raw)
        parts.append(dataclasses.replace(part, reviews=np.arange(first, first + len(pairs), dtype=np.int32)))
        said += [told or (train_text if item in CALM else hard_text) for _, item in pairs]
        first += len(pairs)
    data = Dataset(
        "shop", "path", *parts, "5" * 64, {}, item_texts() if texts is None else texts, PackedText.pack(said)
    )
    return dataclasses.replace(data, **changes)
