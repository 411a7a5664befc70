"""From the names that an agent said back to candidates: unknown, repeated and missing ones handled and counted."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

_NUMBERING = re.compile(r"\A\W*\d+\s*[.):\]]\s*")
_BREAKS = re.compile(r"[,;>\n→]|\band\b")
_MARKERS = ("ranking as", "i would accept these recommendations")
_SHOWN_CHARS = 200
_KEY_CHARS = 400
_READ_CHARS = 20_000
"""Of the list at the end of a plain answer."""


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """What became of one answer about C candidates.

    order: [C] int32, a permutation of the candidates' places: the named ones as they were said, then the others in
    the recommender's order. named: how many were said. repeated, missing: how many names came again, and did not come.
    unknown: names that belong to no candidate (left out), cut.
    """

    order: np.ndarray
    named: int
    repeated: int
    missing: int
    unknown: tuple[str, ...]


def unique_names(titles: Sequence[str], fallbacks: Sequence[str]) -> tuple[str, ...]:
    """One name a candidate that no other of the list has: an empty title becomes its fallback, equals are numbered.

    A title is cut to 200 characters.
    """
    names: list[str] = []
    taken: set[str] = set()
    for title, fallback in zip(titles, fallbacks, strict=True):
        # Short enough for the number to be read, too.
        plain = (title.strip() or fallback)[:_SHOWN_CHARS]
        name, number = plain, 2
        while _key(name) in taken:
            name, number = f"{plain} ({number})", number + 1
        taken.add(_key(name))
        names.append(name)
    return tuple(names)


def order_by_names(names: Sequence[str], said: Iterable[str]) -> Order:
    """The candidates `names` in the order in which they were said. Case, spaces and punctuation do not count."""
    places = {_key(name): place for place, name in enumerate(names)}
    order: list[int] = []
    repeated, unknown = 0, []
    for name in said:
        place = places.get(_key(name))
        if place is None:
            place = places.get(_key(_NUMBERING.sub("", name, count=1)))
        if place is None:
            unknown.append(name[:_SHOWN_CHARS])
        elif place in order:
            repeated += 1
        else:
            order.append(place)
    rest = [place for place in range(len(names)) if place not in order]
    return Order(np.array(order + rest, np.int32), len(order), repeated, len(rest), tuple(unknown))


def names_in_text(names: Sequence[str], text: str) -> list[str] | None:
    """The list that a plain answer ends with ("my ranking as Steve would be A, B, …"), None where it has none.

    Candidates are found by their names, which may hold commas; what stands between two separators and is none of them
    is given back as it is, for `order_by_names` to count.
    """
    lowered = text.lower()
    start = max((lowered.rfind(marker) + len(marker) for marker in _MARKERS if marker in lowered), default=-1)
    if start < 0:
        return None
    opening = re.compile(r"[^:\n]{0,60}?(?:would be|is|:)\s*:?").match(text, start)
    rest = text[opening.end() if opening else start :][:_READ_CHARS]
    longest_first = sorted(names, key=len, reverse=True)
    said = []
    while rest := rest.lstrip(" \t\r\n,;>→\"'*-"):
        found = next((name for name in longest_first if _begins(rest, name)), None)
        if found is not None:
            said.append(found)
            rest = rest[len(found) :]
            continue
        stop = _BREAKS.search(rest, 1)
        piece, rest = (rest[: stop.start()], rest[stop.end() :]) if stop else (rest, "")
        if piece.strip(" .\"'*"):
            said.append(piece.strip(" .\"'*"))
    return said


def _begins(text: str, name: str) -> bool:
    """Whether the text begins with the name, and the name does not end within a word."""
    if text[: len(name)].casefold() != name.casefold():
        return False
    return len(text) == len(name) or not text[len(name)].isalnum()


def _key(name: str) -> str:
    # No candidate's name is that long, and to normalise thousands of combining signs takes seconds.
    folded = unicodedata.normalize("NFKC", name[:_KEY_CHARS]).casefold()
    # A name of signs alone ("???") is told by them.
    return " ".join(re.findall(r"\w+", folded)) or folded.strip()
