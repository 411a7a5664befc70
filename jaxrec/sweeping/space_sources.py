"""Where a search space comes from: `--search` flags, a file with get_space(), or the default of a model."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from jaxrec.config import Experiment, override
from jaxrec.config.fields import Leaf, leaves
from jaxrec.config.load import load_from
from jaxrec.errors import UserError
from jaxrec.sweeping.space import Choice, Domain, Integers, LogUniform, Space, Uniform, Value

_RANGES: dict[str, tuple[type[LogUniform | Uniform | Integers], type]] = {
    "log": (LogUniform, float),
    "uniform": (Uniform, float),
    "integers": (Integers, int),
}
FORMS = "FIELD=log:LOW:HIGH, FIELD=uniform:LOW:HIGH, FIELD=integers:LOW:HIGH or FIELD=A,B,C"

_LEARNING_RATE: Space = {"train.optimizer.learning_rate": LogUniform(1e-4, 1e-2)}
_REGULARIZATION = LogUniform(1e-6, 1e-2)
_GRAPH: Space = _LEARNING_RATE | {"model.regularization": _REGULARIZATION, "model.num_layers": Choice(1, 2, 3, 4)}
_WEIGHT = LogUniform(1e-4, 1e-1)
# The learning rate, which every model has, and what moves a model most beside it.
DEFAULT_SPACES: dict[str, Space] = {
    "bprmf": _LEARNING_RATE | {"model.regularization": _REGULARIZATION},
    "lightgcn": _GRAPH,
    "polycf": _GRAPH,
    "weightedgcl": _LEARNING_RATE
    | {"model.contrast_weight": LogUniform(1e-5, 1e-1), "model.temperature": Choice(0.1, 0.2, 0.5)},
    # Weights and temperature that the paper does not give; the contrast is over the batch, so it goes with its size.
    "lmmrec": _LEARNING_RATE
    | {
        "model.coordination.weight": _WEIGHT,
        "model.coordination.temperature": Choice(0.1, 0.2, 0.5),
        "model.correspondence.weight": _WEIGHT,
    },
}


def default_space(experiment: Experiment[Any]) -> Space:
    """The space of the experiment's model; of one without an entry, its learning rate and its regularisation.

    Raises UserError for a model that does not train.
    """
    model = experiment.model
    if not model.trains:
        raise UserError(f"search space: the model {model.name} trains nothing; give --space FILE, or --search {FORMS}")
    if model.name in DEFAULT_SPACES:
        return DEFAULT_SPACES[model.name]
    names = {leaf.name for leaf in leaves(experiment)}
    regularization = "model.regularization"
    return _LEARNING_RATE | ({regularization: _REGULARIZATION} if regularization in names else {})


def space_from_flags(texts: Sequence[str], experiment: Experiment[Any]) -> Space:
    """The space of texts such as `train.optimizer.learning-rate=log:3e-4:3e-3` and `model.num-layers=1,2,3`.

    The values of a choice are read as the field's own flag would read them. Raises UserError naming the text.
    """
    known = {leaf.name: leaf for leaf in leaves(experiment)}
    space: Space = {}
    for text in texts:
        written, equals, values = text.partition("=")
        name = written.strip().removeprefix("--").replace("-", "_")
        if not equals or not values.strip():
            raise UserError(f"--search {text}: allowed: {FORMS}")
        if name in space:
            raise UserError(f"--search {text}: {name} is given twice")
        space[name] = _domain(text, values.strip(), known.get(name), experiment)
    return space


def space_from_file(path: pathlib.Path) -> Space:
    """What get_space() of a Python file gives. Raises UserError with file and line where it fails."""
    space = load_from(path, "get_space", dict)
    for name in space:
        if not isinstance(name, str):
            raise UserError(f"{path}: get_space() names a field {name!r}, allowed: texts such as 'model.num_layers'")
    return space


def _domain(text: str, values: str, leaf: Leaf | None, experiment: Experiment[Any]) -> Domain:
    kind, *bounds = values.split(":")
    if kind in _RANGES and bounds:
        domain, number = _RANGES[kind]
        try:
            low, high = (number(bound) for bound in bounds)
        except ValueError:
            word = "whole numbers" if number is int else "numbers"
            raise UserError(f"--search {text}: found {':'.join(bounds)}, allowed: LOW:HIGH, two {word}") from None
        return domain(low, high)
    if bounds and leaf is not None and leaf.type is not str:
        raise UserError(f"--search {text}: found {kind!r} before the colon, allowed: {', '.join(_RANGES)}")
    return Choice(*(_value(text, value.strip(), leaf, experiment) for value in values.split(",")))


def _value(text: str, value: str, leaf: Leaf | None, experiment: Experiment[Any]) -> Value:
    if leaf is None:  # the check of the space names the nearest field
        return value
    flag = leaf.name.replace("_", "-")
    if leaf.type is bool:
        if value not in ("true", "false"):
            raise UserError(f"--search {text}: found {value!r}, allowed: true, false")
        return value == "true"
    try:
        changed = override(experiment, [f"--{flag}", value])
    except UserError as error:
        raise UserError(f"--search {text}: {error}") from error
    return next(changed_leaf.value for changed_leaf in leaves(changed) if changed_leaf.name == leaf.name)
