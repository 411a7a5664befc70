"""JSON answers checked against a schema: the part of JSON Schema that structured output of language models knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KEYWORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "description", "title"}
    | {"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"}
)
_LENGTHS = frozenset({"minLength", "maxLength"})
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_DEEPEST = 64


class InvalidAnswer(Exception):
    """The text is no JSON, or JSON that does not fit; the message says where, for the model that repairs it."""


def check_schema(schema: Mapping[str, Any], path: str = "$") -> None:
    """Raise ValueError where a schema holds what is not checked here, or leaves an object open.

    Every object names all its properties as required and allows no other: hosted models ask for that, too.
    """
    unknown = sorted(set(schema) - KEYWORDS)
    if unknown:
        raise ValueError(f"schema {path}: {', '.join(unknown)}; allowed: {', '.join(sorted(KEYWORDS))}")
    names = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ()))
    if not names and "enum" not in schema and "const" not in schema:
        raise ValueError(f"schema {path}: needs a type, an enum or a const")
    if set(names) - set(_TYPES):
        raise ValueError(f"schema {path}: type {schema['type']!r}; allowed: {', '.join(_TYPES)}")
    if "object" in names:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or sorted(schema.get("required", ())) != sorted(properties):
            raise ValueError(f"schema {path}: an object requires all its properties and allows no other")
        for name, part in properties.items():
            check_schema(part, f"{path}.{name}")
    if "array" in names:
        check_schema(schema.get("items", {}), f"{path}[]")


def hosted_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without the lengths of strings, which hosted models refuse; they are checked when the answer is in."""
    return {name: _without_lengths(name, part) for name, part in schema.items() if name not in _LENGTHS}


def _without_lengths(keyword: str, part: Any) -> Any:
    if keyword == "properties":
        return {name: hosted_schema(value) for name, value in part.items()}
    return hosted_schema(part) if keyword == "items" else part


def parse_answer(text: str, schema: Mapping[str, Any] | None) -> Any:
    """The value that a text holds, which fits the schema; None where there is no schema and the text is not empty.

    A fence of backticks around all of the JSON is taken off. Raises: InvalidAnswer.
    """
    if not text.strip():
        raise InvalidAnswer("the answer is empty")
    if schema is None:
        return None
    fenced = _FENCE.match(text.strip())
    try:
        value = json.loads(
            fenced[1] if fenced else text, parse_constant=_no_constant, object_pairs_hook=_no_repeated_name
        )
    except json.JSONDecodeError as error:
        raise InvalidAnswer(f"no JSON: {error.msg} at character {error.pos} of {len(text)}") from None
    except ValueError as error:
        raise InvalidAnswer(f"no JSON: {error}") from None
    except RecursionError:
        raise InvalidAnswer("no JSON: nested too deeply") from None
    _check(value, schema, "$", 0)
    return value


def _check(value: Any, schema: Mapping[str, Any], path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidAnswer(f"{path}: nested too deeply")
    names = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ()))
    if names and not any(_is(value, name) for name in names):
        raise InvalidAnswer(f"{path}: {_shown(value)}, {' or '.join(names)} needed")
    if "enum" in schema and not any(_same(value, allowed) for allowed in schema["enum"]):
        raise InvalidAnswer(f"{path}: {_shown(value)}, one of {json.dumps(list(schema['enum']))} needed")
    if "const" in schema and not _same(value, schema["const"]):
        raise InvalidAnswer(f"{path}: {_shown(value)}, {json.dumps(schema['const'])} needed")
    if isinstance(value, dict):
        _check_object(value, schema, path, depth)
    elif isinstance(value, list):
        _check_size(len(value), schema, path, "Items")
        for place, part in enumerate(value):
            _check(part, schema.get("items", {}), f"{path}[{place}]", depth + 1)
    elif isinstance(value, str):
        _check_size(len(value), schema, path, "Length")
        # Half of a surrogate pair cannot be written to any file.
        if re.search("[\ud800-\udfff]", value):
            raise InvalidAnswer(f"{path}: holds half a surrogate pair")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        lowest, highest = schema.get("minimum", value), schema.get("maximum", value)
        if not lowest <= value <= highest:
            raise InvalidAnswer(f"{path}: {_shown(value)}, {lowest} to {highest} needed")


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], path: str, depth: int) -> None:
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        raise InvalidAnswer(f"{path}: {', '.join(map(json.dumps, missing))} missing")
    others = [name for name in value if name not in properties]
    if others:
        raise InvalidAnswer(f"{path}: {_shown(others[0])} is none of {', '.join(map(json.dumps, properties))}")
    for name, part in value.items():
        _check(part, properties[name], f"{path}.{name}", depth + 1)


def _check_size(size: int, schema: Mapping[str, Any], path: str, what: str) -> None:
    lowest, highest = schema.get(f"min{what}", 0), schema.get(f"max{what}", size)
    if not lowest <= size <= highest:
        unit = "items" if what == "Items" else "characters"
        needed = f"at least {lowest}" if size < lowest else f"at most {highest}"
        raise InvalidAnswer(f"{path}: {size} {unit}, {needed} needed")


def _is(value: Any, name: str) -> bool:
    # JSON's true is no number, though Python's is.
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _same(value: Any, allowed: Any) -> bool:
    return isinstance(value, bool) == isinstance(allowed, bool) and value == allowed


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _no_repeated_name(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value
