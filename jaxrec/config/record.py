"""An experiment as JSON and back, its hash, and the first difference between two records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from typing import Any, Literal, Union, get_args, get_origin

from jaxrec.config.experiment import Experiment
from jaxrec.config.fields import describe_type, field_types, leaves
from jaxrec.errors import UserError


def to_json(experiment: Experiment[Any]) -> dict[str, Any]:
    """The whole experiment as nested JSON, in the order of the fields.

    `model.name`, and `model.base.name` of a model that stands on another, say which models they are.
    """
    return _plain(experiment)


def from_json(record: dict[str, Any]) -> Experiment[Any]:
    """The experiment that `to_json` wrote. Raises UserError naming a field that is unknown, missing or mistyped."""
    model = _table(record.get("model"), "model")
    return _build(Experiment, record, "", {"model": _named_class(model, "model")})


def config_hash(
    experiment: Experiment[Any],
    dataset_sha256: str,
    text_sha256: str | None = None,
    features_sha256: str | None = None,
    profiles_sha256: str | None = None,
    pools_sha256: str | None = None,
    rankings_sha256: str | None = None,
) -> str:
    """12 hex digits over all that changes the result: hashed fields, the model's name and the data's content."""
    covered = {
        "config": _hashed(experiment),
        "dataset": dataset_sha256,
        "text": text_sha256,
    }
    if features_sha256 is not None:
        covered["features"] = features_sha256
    if profiles_sha256 is not None:
        covered["profiles"] = profiles_sha256
    if pools_sha256 is not None:
        covered["pools"] = pools_sha256
    if rankings_sha256 is not None:
        covered["rankings"] = rankings_sha256
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()[:12]


def first_difference(here: dict[str, Any], there: dict[str, Any]) -> str | None:
    """The first hashed field in which two records of `to_json` differ, or None.

    Reads `train.batch_size: 2048 here, 512 there`; a field that one record lacks is `absent`, or what earlier versions
    did where it was added since.
    """
    left, right = _later_defaults(there) | _flatten(here), _later_defaults(here) | _flatten(there)
    skipped = _unhashed(here) | _unhashed(there)
    for name in [*left, *(name for name in right if name not in left)]:
        if name not in skipped and left.get(name, _ABSENT) != right.get(name, _ABSENT):
            return f"{name}: {_shown(left.get(name, _ABSENT))} here, {_shown(right.get(name, _ABSENT))} there"
    return None


def as_text(experiment: Experiment[Any]) -> str:
    """One `field = value` a line, values as JSON; what the golden files hold. Left out: later fields at rest."""
    later = {leaf.name for leaf in leaves(experiment) if leaf.later}
    flat = _flatten(to_json(experiment))
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in flat.items() if name not in later)


_ABSENT = object()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        record = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        # A config of several classes' kind says its own: a class constant, not a field.
        name = getattr(value, "name", None)
        return record if name is None or "name" in record else {"name": name} | record
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _hashed(experiment: Experiment[Any]) -> dict[str, Any]:
    unhashed = {leaf.name for leaf in leaves(experiment) if not leaf.hashed}
    return {name: value for name, value in _flatten(to_json(experiment)).items() if name not in unhashed}


def _unhashed(record: dict[str, Any]) -> set[str]:
    """Names of the fields that stay out of the hash; an older record is judged by the fields of today."""
    default = _default_experiment(record)
    if default is None:
        return {"name"}
    return {leaf.name for leaf in leaves(default) if not leaf.hashed and not leaf.later}


def _later_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the fields that later versions added to what a record describes."""
    default = _default_experiment(record)
    if default is None:
        return {}
    flat = _flatten(to_json(default))
    return {leaf.name: flat[leaf.name] for leaf in leaves(default) if leaf.later and leaf.name in flat}


def _default_experiment(record: dict[str, Any]) -> Experiment[Any] | None:
    from jaxrec.models.registry import config_class

    try:
        return Experiment(config_class(record["model"]["name"])())
    except (KeyError, UserError):
        return None


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"config: {where or 'the record'} is {value!r}, allowed is an object of fields")
    return value


def _named_class(record: dict[str, Any], where: str) -> type:
    """The config class of a record that says its model's name."""
    from jaxrec.models.registry import config_class

    if "name" not in record:
        raise UserError(f"config: {where}.name is missing")
    return config_class(record["name"])


def _build(config_class: Any, record: Any, where: str, overrides: dict[str, type] | None = None) -> Any:
    """A dataclass from its JSON, strict in names and types. overrides: classes of fields of generic type."""
    record = _table(record, where)
    prefix = f"{where}." if where else ""
    types_of = field_types(config_class) | (overrides or {})
    added = {field.name for field in dataclasses.fields(config_class) if "added" in field.metadata}
    if "name" not in types_of and hasattr(config_class, "name"):
        record = {name: value for name, value in record.items() if name != "name"}
    unknown = [name for name in record if name not in types_of]
    missing = [name for name in types_of if name not in record and name not in added]
    if unknown:
        raise UserError(f"config: unknown field {prefix}{unknown[0]}; there are: {', '.join(types_of)}")
    if missing:
        raise UserError(f"config: field {prefix}{missing[0]} is missing")
    # A field that was added since keeps its default: what the run did that wrote the record.
    return config_class(**{name: _value(types_of[name], record[name], prefix + name) for name in record})


def _value(annotation: Any, value: Any, where: str) -> Any:
    """A JSON value as a field's type; a whole number also stands for a float, a list for a tuple."""
    if dataclasses.is_dataclass(annotation):
        return _build(annotation, value, where)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if arguments and all(dataclasses.is_dataclass(argument) for argument in arguments):
        chosen = _named_class(_table(value, where), where)
        if chosen not in arguments:
            names = ", ".join(argument.name for argument in arguments)
            raise UserError(f"config: {where}.name is {json.dumps(value['name'])}, allowed: {names}")
        return _build(chosen, value, where)
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_value(kind, item, where) for kind, item in zip(kinds, value, strict=True))
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if _fits(annotation, value):
        return value
    raise UserError(f"config: {where} is {json.dumps(value)}, allowed: {describe_type(annotation)}")


def _fits(annotation: Any, value: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_fits(argument, value) for argument in arguments)
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(annotation, type) and isinstance(value, annotation)
