"""What a sweep searches: the values that a field may take, and their check against the experiment."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, get_args

from jaxrec.config import Experiment, from_json, to_json, validate
from jaxrec.config.fields import Leaf, describe_type, leaves
from jaxrec.errors import UserError

Value = float | int | str | bool | None


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Numbers from low to high, low above 0, every ratio as likely as another of its size."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers from low to high."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Integers:
    """Whole numbers from low to high, both among them."""

    low: int
    high: int


@dataclasses.dataclass(frozen=True, init=False)
class Choice:
    """One of the values given, without an order: `Choice(16, 32, 64)`."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)


Domain = LogUniform | Uniform | Integers | Choice
Space = dict[str, Domain]
"""Dotted field -> what it may be."""

_FIXED = {
    "data.": "it decides what is validated on, and trials on different data do not compare",
    "eval.": "it decides how trials are measured",
    "devices.": "results do not depend on it",
    "seed": "a seed chosen on validation is luck, not a setting",
    "name": "it is no setting",
    "train.monitor": "it is what trials are compared by",
    "train.epochs": "it is the budget, the same for every trial",
    "train.eval_every": "it is the budget, the same for every trial",
    "train.patience": "it is the budget, the same for every trial",
}


def check_space(space: Mapping[str, Domain], experiment: Experiment[Any]) -> Space:
    """The space with its fields spelt and its choices typed as the experiment has them, in the order given.

    Raises UserError for an empty space, a field that the experiment does not have (naming the nearest) or that no
    sweep may touch, a kind of values that does not fit the field's type, and values that the experiment refuses.
    """
    if not space:
        raise UserError("search space: found no field, allowed: one or more, such as train.optimizer.learning_rate")
    known = {leaf.name: leaf for leaf in leaves(experiment)}
    checked: Space = {}
    for written, domain in space.items():
        name = written.replace("-", "_")
        if name not in known:
            raise UserError(f"search {written}: no such field{_nearest(name, known)}")
        if name in checked:
            raise UserError(f"search {written}: given twice")
        _refuse_fixed(known[name])
        checked[name] = _check_domain(known[name], domain, experiment)
    return checked


def with_values(experiment: Experiment[Any], values: Mapping[str, Value]) -> Experiment[Any]:
    """The experiment with the fields of these dotted names set, unchecked."""
    for name, value in values.items():
        experiment = _replace(experiment, name.split("."), value)
    return experiment


def values_of(experiment: Experiment[Any], space: Space) -> dict[str, Value]:
    """What the experiment has in the fields of the space."""
    known = {leaf.name: leaf.value for leaf in leaves(experiment)}
    return {name: known[name] for name in space}


def contains(domain: Domain, value: Value) -> bool:
    """Whether a value is one of the domain's."""
    if isinstance(domain, Choice):
        return value in domain.values
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return domain.low <= value <= domain.high


def near_an_end(domain: Domain, value: Value) -> str | None:
    """`low` or `high` where a value lies in the last twentieth of a range: what lies beyond may be better still."""
    if isinstance(domain, Choice) or isinstance(value, (str, bool, type(None))) or not contains(domain, value):
        return None
    scale = math.log if isinstance(domain, LogUniform) else float
    share = (scale(value) - scale(domain.low)) / (scale(domain.high) - scale(domain.low))
    return "low" if share < 0.05 else "high" if share > 0.95 else None


def describe(domain: Domain) -> str:
    """A domain as it is written behind a field in `--search`."""
    if isinstance(domain, Choice):
        return ",".join(str(value) for value in domain.values)
    return f"{_WORDS[type(domain)]}:{domain.low:g}:{domain.high:g}"


def space_json(space: Space) -> dict[str, dict[str, Any]]:
    """A space as JSON: the kind of each domain and its bounds or values."""
    return {
        name: {"kind": type(domain).__name__}
        | {key: list(value) if isinstance(value, tuple) else value for key, value in vars(domain).items()}
        for name, domain in space.items()
    }


_WORDS: dict[type, str] = {LogUniform: "log", Uniform: "uniform", Integers: "integers"}


def _replace(config: Any, path: list[str], value: Value) -> Any:
    field, *rest = path
    return dataclasses.replace(config, **{field: _replace(getattr(config, field), rest, value) if rest else value})


def _nearest(name: str, known: Mapping[str, Leaf]) -> str:
    last = name.rpartition(".")[2]
    ends = [field for field in known if field.rpartition(".")[2] == last]
    nearest = ends[:3] or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; nearest: {', '.join(nearest)}" if nearest else f"; there are: {', '.join(known)}"


def _refuse_fixed(leaf: Leaf) -> None:
    for prefix, reason in _FIXED.items():
        if leaf.name == prefix or (prefix.endswith(".") and leaf.name.startswith(prefix)):
            raise UserError(f"search {leaf.name}: not a field to search: {reason}")
    if not leaf.hashed and not leaf.later:
        raise UserError(f"search {leaf.name}: not a field to search: the result does not depend on it")


def _check_domain(leaf: Leaf, domain: Domain, experiment: Experiment[Any]) -> Domain:
    kinds = get_args(leaf.type) or (leaf.type,)
    if isinstance(domain, Choice):
        return _check_choice(leaf, domain, experiment)
    if not isinstance(domain, (LogUniform, Uniform, Integers)):
        raise UserError(f"search {leaf.name}: found {domain!r}, allowed: LogUniform, Uniform, Integers or Choice")
    wanted, word = (int, "whole numbers") if isinstance(domain, Integers) else (float, "numbers")
    if wanted not in kinds:
        raise UserError(f"search {leaf.name}: found a range of {word}, but the field takes {describe_type(leaf.type)}")
    for bound in (domain.low, domain.high):
        good = isinstance(bound, int) if wanted is int else isinstance(bound, (int, float)) and math.isfinite(bound)
        if not good or isinstance(bound, bool):
            raise UserError(f"search {leaf.name}: found the bound {bound!r}, allowed: {word}")
    if not domain.low < domain.high:
        raise UserError(f"search {leaf.name}: found {domain.low} to {domain.high}, allowed: a low below the high")
    if isinstance(domain, LogUniform) and domain.low <= 0:
        raise UserError(f"search {leaf.name}: found log from {domain.low}, allowed: a low above 0")
    for bound in (domain.low, domain.high):
        _require_valid(with_values(experiment, {leaf.name: bound}), leaf, bound)
    if isinstance(domain, Integers):
        return domain
    return type(domain)(float(domain.low), float(domain.high))


def _check_choice(leaf: Leaf, domain: Choice, experiment: Experiment[Any]) -> Choice:
    """Each value as the field's type has it: 1 is 1.0 where numbers are meant."""
    if len(domain.values) < 2 or len(set(domain.values)) < len(domain.values):
        raise UserError(f"search {leaf.name}: found {list(domain.values)}, allowed: two or more values, all different")
    typed = []
    for value in domain.values:
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise UserError(f"search {leaf.name}: found {value!r}, allowed: numbers, texts, true, false, None")
        changed = with_values(experiment, {leaf.name: value})
        typed.append(values_of(_require_valid(changed, leaf, value), {leaf.name: domain})[leaf.name])
    return Choice(*typed)


def _require_valid(experiment: Experiment[Any], leaf: Leaf, value: object) -> Experiment[Any]:
    """The experiment as a record would give it back; UserError where a value has the wrong type or is refused."""
    try:
        typed = from_json(to_json(experiment))
        validate(typed)
    except UserError as error:
        raise UserError(f"search {leaf.name}: {value!r} does not do: {error}") from error
    return typed
