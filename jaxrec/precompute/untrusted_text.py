"""Texts that users wrote, made harmless for prompts: cleaned, cut, and put where they cannot end their own field.

Whatever a review says, it stays one JSON string in one line between two marks that no text can spell. A model may
still believe it; but it changes no other field, no mark and no turn of the conversation.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

OPENING, CLOSING = "<data>", "</data>"
CUT = "…"
_KEPT_FORMATS = frozenset("\u200c\u200d")
"""The joiners, without which Persian, Hindi and many emoji are spelled wrong."""
_SPACES = re.compile(r"\s+")
# What opens a tag, a fence, a special token (<|im_start|>, <s>, [INST], <<SYS>>) or a template's field.
_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&`[]|"}
_ROLE_TOKEN = re.compile(r"\[\s*/?\s*[A-Z_]{2,}\s*\]")

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]


def clean_text(text: str, max_chars: int) -> str:
    """One line without control, format, private and unassigned characters, at most max_chars long.

    White space of every kind becomes single spaces; what is cut ends in an ellipsis. Compatibility forms are kept.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars {max_chars}; at least 1")
    # A text of 100,000 characters is not walked through where 400 are kept.
    head = text[: 8 * max_chars + 1024]
    kept = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", head)
        if character.isspace() or character in _KEPT_FORMATS or unicodedata.category(character)[0] != "C"
    )
    line = _SPACES.sub(" ", kept).strip()
    if len(line) <= max_chars and len(head) == len(text):
        return line
    return line[: max_chars - 1].rstrip() + CUT


def data_block(fields: Mapping[str, Value], max_chars: int) -> str:
    """The fields as one line of JSON between the marks; the prompt around it says that it is data.

    Every string in it, names included, is cleaned and cut to max_chars and cannot spell a mark, a tag, a fence or a
    special token of a chat template: `<`, `>`, `&`, a backtick and a bar are written as JSON escapes, and so are the
    brackets of words such as [INST]. `json.loads` of the line gives the cleaned fields back.
    """
    return f"{OPENING}\n{_encoded(fields, max_chars)}\n{CLOSING}"


def _encoded(value: Value, max_chars: int) -> str:
    if isinstance(value, str):
        return _string(clean_text(value, max_chars))
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_encoded(str(k), max_chars)}: {_encoded(v, max_chars)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, Sequence):
        return "[" + ", ".join(_encoded(part, max_chars) for part in value) + "]"
    return json.dumps(value, allow_nan=False)


def _string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    quoted = _ROLE_TOKEN.sub(lambda token: _escape(token[0], "[]"), quoted)
    return _escape(quoted, "<>&`|")


def _escape(text: str, characters: str) -> str:
    for character in characters:
        text = text.replace(character, _ESCAPED[character])
    return text
