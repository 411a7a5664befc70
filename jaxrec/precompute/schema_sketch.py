"""A JSON schema in a few words, for models whose answers fit it anyway: a form to fill in, a third of its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def sketch(schema: Mapping[str, Any]) -> str:
    """The form of an answer: {"kind": "a" | "b", "parts": [1 to 5 of {"name": text}], "sure": true | false}.

    A text stands there as a bare word: what is in quotation marks, small models copy.
    """
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " | ".join(_of_type(name, schema) for name in names)


def _of_type(name: str, schema: Mapping[str, Any]) -> str:
    if name == "object":
        parts = schema.get("properties", {}).items()
        return "{" + ", ".join(f"{json.dumps(key)}: {sketch(part)}" for key, part in parts) + "}"
    if name == "array":
        return f"[{_number(schema.get('minItems', 0), schema.get('maxItems'))} of {sketch(schema['items'])}]"
    if name in ("integer", "number"):
        return f"{name} of {_number(schema.get('minimum'), schema.get('maximum'))}"
    return {"string": "text", "boolean": "true | false", "null": "null"}[name]


def _number(least: float | None, most: float | None) -> str:
    if most is None:
        return "any size" if not least else f"{least} or more"
    return f"{'up' if least is None else least} to {most}"
