"""What a source says about its items, and the plain text made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class ItemMetadata:
    """One item as prompts and encoders read it; "" and () where the source says nothing.

    raw_id: as in the interactions. image: address of a picture. fields: categorical fields that are
    ids, such as a brand's; they are no part of the text.
    """

    raw_id: str
    title: str = ""
    description: str = ""
    brand: str = ""
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    image: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """Title, brand, categories, keywords and description in one string, the absent left out."""
        parts = (self.title, self.brand, ", ".join(self.categories), " ".join(self.keywords), self.description)
        return ". ".join(part for part in parts if part)


def item_text(items: Iterable[ItemMetadata]) -> dict[str, str]:
    """Raw item id -> text, of the items that have any; the first entry of an item stands."""
    return item_text_and_fields(items)[0]


def item_text_and_fields(items: Iterable[ItemMetadata]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Raw item id -> text, and field -> raw item id -> value, of the items that have any; first entries stand."""
    texts: dict[str, str] = {}
    fields: dict[str, dict[str, str]] = {}
    for item in items:
        if text := item.text:
            texts.setdefault(item.raw_id, text)
        for name, value in item.fields:
            values = fields.setdefault(name, {})
            if value:
                values.setdefault(item.raw_id, value)
    return texts, fields


def as_text(value: object) -> str:
    """A field as clean text: lists are joined, blanks collapsed; "" for anything that is not text."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(as_text, value)))
    return ""


def as_words(value: object) -> tuple[str, ...]:
    """A field as several texts, without repeats: nested lists are flattened, a string is split at commas."""
    if isinstance(value, str):
        pieces: Iterable[object] = value.split(",")
        return tuple(dict.fromkeys(filter(None, map(as_text, pieces))))
    if isinstance(value, list | tuple):
        words = [
            word for entry in value for word in (as_words(entry) if isinstance(entry, list) else (as_text(entry),))
        ]
        return tuple(dict.fromkeys(filter(None, words)))
    return ()
