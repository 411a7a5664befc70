"""How long JSON of a schema has to be at least: bounds that hold wherever an answer is led to its end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_NUMBER_CHARS = 24


def longest_end(schema: Mapping[str, Any]) -> int:
    """Bytes to the end of an answer from any of its places, when arrays take no element more than they must."""
    values = _choices(schema)
    if values:
        return max(len(json.dumps(value).encode()) for value in values)
    return max((_longest_of(name, schema) for name in _types(schema)), default=0)


def largest_rise(schema: Mapping[str, Any]) -> int:
    """Bytes by which one token may lengthen that end: an element more, the longer of two types, another choice."""
    rises = [longest_end(schema)] if _choices(schema) or not isinstance(schema.get("type"), str) else [0]
    rises += map(largest_rise, schema.get("properties", {}).values())
    if "items" in schema:
        rises += [longest_end(schema["items"]) + 1, largest_rise(schema["items"])]
    return max(rises)


def longest_choice(schema: Mapping[str, Any]) -> int:
    """Bytes of the longest value that stands in an enum or const."""
    parts = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return max(
        [len(json.dumps(value).encode()) for value in _choices(schema)] + [longest_choice(part) for part in parts],
        default=0,
    )


def num_texts(schema: Mapping[str, Any]) -> int:
    """Texts that such an end may hold."""
    if _choices(schema):
        return 0
    counts = [0]
    for name in _types(schema):
        if name == "string":
            counts.append(1)
        elif name == "object":
            counts.append(sum(num_texts(part) for part in schema.get("properties", {}).values()))
        elif name == "array":
            counts.append(_elements(schema) * num_texts(schema.get("items", {})))
    return max(counts)


def _longest_of(name: str, schema: Mapping[str, Any]) -> int:
    if name == "object":
        parts = schema.get("properties", {}).items()
        return 2 + sum(len(json.dumps(key).encode()) + 2 + longest_end(part) for key, part in parts)
    if name == "array":
        return 2 + _elements(schema) * (longest_end(schema.get("items", {})) + 1)
    if name == "string":
        return 2 + schema.get("minLength", 0)
    return _NUMBER_CHARS


def _elements(schema: Mapping[str, Any]) -> int:
    """One that is open counts, too."""
    return max(1, schema.get("minItems", 0))


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _types(schema: Mapping[str, Any]) -> Iterable[str]:
    names = schema.get("type", ())
    return (names,) if isinstance(names, str) else names
