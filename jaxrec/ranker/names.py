"""How items are said in a prompt: by number, by a token of their own, or by name; no two of them alike."""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Sequence

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.untrusted_text import clean_text

NAME_CHARS = 80
"""Of a name, at most: scripts without blanks have no words to count."""
_READ_CHARS = 400
_KEPT_SIGNS = frozenset("'’-&.+/%#!?()\u200c\u200d")
"""Beside letters, marks and digits. No comma, line break or control token (<s>, [INST], <|end|>) can be spelled."""


@dataclasses.dataclass(frozen=True, eq=False)
class ItemTexts:
    """texts: of each item of the data set, [I], all different. new_tokens: those that a tokenizer is to learn."""

    texts: tuple[str, ...]
    new_tokens: tuple[str, ...] = ()

    def item(self, text: str) -> int | None:
        """The item that is said so, None where it is none: an id out of range, a name that nobody has."""
        return self._places.get(text)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {text: item for item, text in enumerate(self.texts)}


def item_texts(config: PromptConfig, dataset: Dataset, words: ItemWords | None = None) -> ItemTexts:
    """digits: 1 to |V| ("encoded item ids" of SEALR). new_tokens: `<item_1>` and so on. names: titles, cleaned and cut.

    words: of `jaxrec.data.item_words.read_item_words`, needed for names.
    """
    numbers = range(1, dataset.num_items + 1)
    if config.items == "digits":
        return ItemTexts(tuple(str(number) for number in numbers))
    if config.items == "new_tokens":
        tokens = tuple(f"<item_{number}>" for number in numbers)
        return ItemTexts(tokens, tokens)
    if words is None:
        raise ValueError("names need the words of items")
    return ItemTexts(unique_texts([plain_name(title, config.name_words) for title in words.titles]))


def plain_name(title: str, max_words: int) -> str:
    """The first words of a title as one value of a list, "" where it has neither letters nor digits.

    Any text can be given: control tokens, separators and marks of every kind become blanks.
    """
    # To normalise thousands of combining signs takes long, and they are no name.
    line = clean_text(title[:_READ_CHARS], _READ_CHARS)
    kept = "".join(character if _is_kept(character) else " " for character in line)
    words = [word for word in kept.split() if any(map(str.isalnum, word))]
    name = unicodedata.normalize("NFC", " ".join(words[:max_words]))
    return name[:NAME_CHARS].strip()


def unique_texts(names: Sequence[str]) -> tuple[str, ...]:
    """The names with equal ones numbered, "" made `item N`, N counted from 1."""
    # A name that has been given a number must not be that of another item.
    taken = {name for name in names if name}
    said: set[str] = set()
    next_number: dict[str, int] = {}
    texts = []
    for place, name in enumerate(names, start=1):
        plain = name or f"item {place}"
        text = plain
        if text in said or (not name and text in taken):
            number = next_number.get(plain, 2)
            while (text := f"{plain} ({number})") in said or text in taken:
                number += 1
            next_number[plain] = number + 1
        said.add(text)
        texts.append(text)
    return tuple(texts)


def _is_kept(character: str) -> bool:
    return character in _KEPT_SIGNS or unicodedata.category(character)[0] in "LMN"
