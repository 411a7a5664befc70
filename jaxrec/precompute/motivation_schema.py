"""The form of motivations: evidence, then what speaks for and against by type, then the summary (LMMRec Eq. 1)."""

from __future__ import annotations

from typing import Any

TYPES = (
    "theme", "function", "quality", "value", "enjoyment", "relaxation", "challenge", "social", "novelty", "aesthetics",
    "convenience", "identity", "knowledge", "emotion",
)  # fmt: skip
SOURCES = ("description", "review", "item")
QUOTE_CHARS, MOTIVATION_CHARS, SUMMARY_CHARS = 240, 200, 900
MOST_EVIDENCE, MOST_POSITIVE, MOST_NEGATIVE = 5, 5, 4


def _array(item: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least, "maxItems": most}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


_MOTIVATION = _object({"type": {"type": "string", "enum": list(TYPES)}, "motivation": _text(MOTIVATION_CHARS)})

# The order of the fields is the order in which a model thinks: the chain of thought is part of the answer.
SCHEMA: dict[str, Any] = _object(
    {
        "evidence": _array(
            _object({"source": {"type": "string", "enum": list(SOURCES)}, "quote": _text(QUOTE_CHARS)}),
            1,
            MOST_EVIDENCE,
        ),
        "positive": _array(_MOTIVATION, 1, MOST_POSITIVE),
        "negative": _array(_MOTIVATION, 0, MOST_NEGATIVE),
        "summary": _text(SUMMARY_CHARS),
    }
)

TYPICAL: dict[str, Any] = {
    "evidence": [
        {"source": "description", "quote": "Craft and decorate freely with calm music and soft colours"},
        {"source": "review", "quote": "We laughed together all night and came back the next day"},
        {"source": "review", "quote": "The matches are slow to start and the servers drop players"},
    ],
    "positive": [
        {"type": "relaxation", "motivation": "unwinding after a long day with calm music and no pressure"},
        {"type": "social", "motivation": "spending evenings with friends in a shared world"},
        {"type": "theme", "motivation": "a gentle fantasy setting with animals and gardens"},
    ],
    "negative": [{"type": "quality", "motivation": "frustration with unstable servers and long waiting times"}],
    "summary": (
        "People who look for a calm and friendly evening will enjoy it: the music, the soft colours and the freedom to "
        "build at their own pace let them unwind, and doing so together with friends is what brings them back. Those "
        "who want a quick match, a hard challenge or a service that always works will be disappointed by slow starts "
        "and unstable servers."
    ),
}
"""An answer as hosted models give it: what plans count with where an answer is not there yet."""
