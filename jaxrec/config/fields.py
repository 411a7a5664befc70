"""The leaves of an experiment: dotted names, values, types, and the types said in words."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


class Leaf(NamedTuple):
    """One value of an experiment. name is dotted ("train.optimizer.name"); hashed: it changes the result.

    later: the field came with a later version (`metadata={"added": "0.2"}`) and holds its default, which is what
    earlier runs did: it stays out of the hash, and a record without it is whole.
    """

    name: str
    value: Any
    type: Any
    hashed: bool
    later: bool


@functools.cache
def field_types(config_class: type) -> dict[str, Any]:
    """Resolved type of every field of a dataclass."""
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def leaves(config: Any, prefix: str = "", hashed: bool = True, later: bool = False) -> Iterator[Leaf]:
    """Every value of a tree of dataclasses, in the order of the fields."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = prefix + field.name
        counts = hashed and field.metadata.get("hash", True)
        dormant = later or ("added" in field.metadata and value == default_of(field))
        if dataclasses.is_dataclass(value):
            yield from leaves(value, name + ".", counts, dormant)
        else:
            yield Leaf(name, value, field_types(type(config))[field.name], counts and not dormant, dormant)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field that has one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def describe_type(annotation: Any) -> str:
    """What a field takes, in words: `a whole number`, `one of mean, sum`, `3 numbers`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is tuple:
        if get_origin(arguments[0]) is Literal:
            inner = "some of " + ", ".join(map(str, get_args(arguments[0])))
        else:
            inner = _WORDS.get(arguments[0], (str(arguments[0]), str(arguments[0])))[1]
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"{inner}, separated by spaces"
        return f"{len(arguments)} {inner}, separated by spaces"
    return _WORDS.get(annotation, (getattr(annotation, "__name__", str(annotation)), ""))[0]


_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "trues or falses"),
    type(None): ("None", "Nones"),
}
