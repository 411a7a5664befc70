"""Flags of the command line laid over a config; tyro parses and helps, the errors are one line each."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import tyro

from jaxrec.config.experiment import Experiment
from jaxrec.config.fields import describe_type, leaves
from jaxrec.errors import UserError

ConfigT = TypeVar("ConfigT", bound="_Named")

LAUNCH = "python -m jaxrec.launch --config FILE [--workdir DIR] [--profile STEPS]"
_NUMBER = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)


class _Named(Protocol):
    """A tree of dataclasses that says its name, as Experiment does."""

    @property
    def name(self) -> str: ...


class _Flag(NamedTuple):
    """A flag with the words that follow it, as the user wrote them."""

    flag: str
    values: list[str]


def override(experiment: ConfigT, argv: Sequence[str], program: str = LAUNCH) -> ConfigT:
    """The experiment, or another tree of dataclasses, with flags such as `--model.dim 64` or `--data.no-pool` laid
    over it. program: whose flags they are, for the help.

    `--help` prints every flag and raises SystemExit(0). Raises UserError for an unknown or abbreviated flag
    (naming the nearest) and for a value that the field does not take (naming flag, value and what is allowed).
    """
    if any(argument in ("-h", "--help") for argument in argv):
        _parse(experiment, ["--help"], program)
    kinds = _known_flags(experiment)
    groups = _group(argv, kinds)
    arguments = [word for group in groups for word in (group.flag, *group.values)]
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return _parse(experiment, arguments, program)
    except SystemExit as refusal:
        raise _explain(experiment, groups, kinds) from refusal


def _parse(experiment: ConfigT, arguments: list[str], program: str = "") -> ConfigT:
    kind: Any = Experiment[type(experiment.model)] if isinstance(experiment, Experiment) else type(experiment)
    return tyro.cli(
        kind,
        default=experiment,
        args=arguments,
        prog=program,
        description=f"Flags of {experiment.name!r}, with the values that hold without them.",
        config=(tyro.conf.AvoidSubcommands,),
    )


def _known_flags(experiment: _Named) -> dict[str, Any]:
    """Every flag and the type of its field; both forms of a switch."""
    flags = {_flag(leaf.name): leaf.type for leaf in leaves(experiment) if leaf.name != "name"}
    return flags | {_off(switch): bool for switch in _switches(experiment)}


def _switches(experiment: _Named) -> set[str]:
    return {_flag(leaf.name) for leaf in leaves(experiment) if leaf.type is bool}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _off(switch: str) -> str:
    """`--data.no-pool` for `--data.pool`."""
    parent, dot, last = switch.removeprefix("--").rpartition(".")
    return f"--{parent}{dot}no-{last}"


def _group(argv: Sequence[str], kinds: dict[str, Any]) -> list[_Flag]:
    """Flags in tyro's spelling, each with its values; refuses unknown flags and values that no flag claims."""
    groups: list[_Flag] = []
    for argument in argv:
        if argument.startswith("-") and not _NUMBER.match(argument):
            written, equals, value = argument.partition("=")
            groups.append(_Flag(_spelling(written, kinds), [value] if equals else []))
        elif groups:
            groups[-1].values.append(argument)
        else:
            raise UserError(f"{argument}: not a flag; flags look like --model.dim 64 (--help lists them)")
    return groups


def _spelling(written: str, kinds: dict[str, Any]) -> str:
    flag = written.replace("_", "-")
    if flag.startswith("--no-") and "." in flag:  # --no-data.pool for --data.no-pool
        flag = _off("--" + flag.removeprefix("--no-"))
    if flag in kinds:
        return flag
    ends = [known for known in kinds if known.rpartition(".")[2] == flag.lstrip("-")]
    nearest = ends[:3] or difflib.get_close_matches(flag, kinds, n=1, cutoff=0.6)
    hint = f"; nearest: {', '.join(nearest)}" if nearest else ""
    raise UserError(f"{written}: no such flag{hint} (--help lists all)")


def _explain(experiment: _Named, groups: list[_Flag], kinds: dict[str, Any]) -> UserError:
    """Name the flag that cannot be parsed alone: tyro's own message is a box of several lines."""
    for group in groups:
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                _parse(experiment, [group.flag, *group.values])
        except SystemExit:
            found = " ".join(group.values)
            if kinds[group.flag] is bool:
                on = group.flag.replace("no-", "", 1) if group.flag not in _switches(experiment) else group.flag
                return UserError(
                    f"{group.flag}: found {found!r}, but it takes no value: {on} alone is on, {_off(on)} is off"
                )
            found = repr(found) if group.values else "no value"
            return UserError(f"{group.flag}: found {found}, allowed: {describe_type(kinds[group.flag])}")
    return UserError(f"these flags cannot stand together: {' '.join(group.flag for group in groups)}")
