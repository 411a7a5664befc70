"""Arguments of the sweep command: its own flags, and those of the experiments, which every field has."""

from __future__ import annotations

import difflib
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from jaxrec.command_line import OK
from jaxrec.config.load import config_files
from jaxrec.errors import UserError
from jaxrec.sweeping.space import describe
from jaxrec.sweeping.space_sources import DEFAULT_SPACES, FORMS

HELP = """\
usage: python -m jaxrec.sweep CONFIG [CONFIG ...] --trials N [--flag value ...]

Search settings on the validation part. The first trial is the config as it stands; the rest follow from what was
found before. Stopped in any way, the same command goes on. Several configs get the same budget, one after another.

  CONFIG, --config FILE   Python file with get_config() -> Experiment
  --trials N              trials in total, those of earlier starts among them
  --search {forms}
                          what to search; repeat for several fields
  --space FILE            Python file with get_space() -> dict of field -> LogUniform(1e-4, 1e-2) or the like,
                          from jaxrec.sweeping.space
  --no-pruning            let every trial run to its end; else one below the median of the others is cut short
  --sampler-seed N        seed of what is tried (default 0)
  --workdir DIR           sweep folder; sweeps/<config name>-<hash> by default
  --final                 then train and test the chosen settings: the one time that the test part is read

Every field of the experiment is a flag here, too, such as --train.epochs 50 or --data.path DIR.
Searched where neither --search nor --space is given:
{spaces}
Configs here: {configs}
"""
_VALUES = {
    "--config": "a file",
    "--trials": "a whole number from 1",
    "--search": "FIELD=values",
    "--space": "a file",
    "--sampler-seed": "a whole number from 0",
    "--workdir": "a folder",
}
_SWITCHES = ("--final", "--no-pruning")
_REPEATED = ("--config", "--search")


class SweepArguments(NamedTuple):
    """What the user asked for; rest: flags of the experiments."""

    configs: tuple[pathlib.Path, ...]
    trials: int
    search: tuple[str, ...]
    space: pathlib.Path | None
    sampler_seed: int
    pruning: bool
    workdir: pathlib.Path | None
    final: bool
    rest: list[str]


def split_sweep_arguments(argv: Sequence[str]) -> SweepArguments:
    """Take the sweep's own flags out of argv, wherever they stand; a word that no flag claims is a config.

    `--help` prints the help and raises SystemExit(0). Raises UserError for what is missing, given twice or mistyped.
    """
    if any(word in ("-h", "--help") for word in argv):
        sys.stdout.write(_help())
        raise SystemExit(OK)
    found, rest = _split(argv)
    configs = tuple(pathlib.Path(config) for config in found.get("--config", []))
    if not configs:
        raise UserError(f"CONFIG is missing; configs here: {', '.join(config_files()) or 'none in ./configs'}")
    twice = next((config for config in configs if configs.count(config) > 1), None)
    if twice is not None:
        raise UserError(f"{twice}: given twice")
    if "--trials" not in found:
        raise UserError("--trials N is missing: how many settings to try, the config as it stands among them")
    if "--search" in found and "--space" in found:
        raise UserError("--search and --space: both given, allowed: one of them")
    if "--workdir" in found and len(configs) > 1:
        raise UserError(f"--workdir: one folder for {len(configs)} configs, allowed: one config, or no --workdir")
    space, workdir = found.get("--space"), found.get("--workdir")
    return SweepArguments(
        configs=configs,
        trials=_whole_number("--trials", found["--trials"][0], 1),
        search=tuple(found.get("--search", ())),
        space=pathlib.Path(space[0]) if space else None,
        sampler_seed=_whole_number("--sampler-seed", found.get("--sampler-seed", ["0"])[0], 0),
        pruning="--no-pruning" not in found,
        workdir=pathlib.Path(workdir[0]) if workdir else None,
        final="--final" in found,
        rest=rest,
    )


def _split(argv: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    of_experiment = False  # whether a bare word is the value of an experiment's flag
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in _VALUES and flag not in _SWITCHES:
            if not word.startswith("-") and not of_experiment:
                found.setdefault("--config", []).append(word)
                continue
            if word.startswith("--") and "." not in flag:
                _refuse_misspelt(flag)
            rest.append(word)
            of_experiment = True
            continue
        of_experiment = False
        if flag in _SWITCHES:
            if equals:
                raise UserError(f"{flag}: found {value!r}, but it takes no value")
        elif not equals:
            value = next(words, "")
        if flag in _VALUES and (not value or value.startswith("--")):
            raise UserError(f"{flag}: no value, allowed: {_VALUES[flag]}")
        if flag in found and flag not in _REPEATED:
            raise UserError(f"{flag}: given twice")
        found.setdefault(flag, []).append(value)
    return found, rest


def _refuse_misspelt(flag: str) -> None:
    """An experiment's flags have dots, but for its seed."""
    near = difflib.get_close_matches(flag, [*_VALUES, *_SWITCHES], n=1, cutoff=0.7)
    if near and flag != "--seed":
        raise UserError(f"{flag}: no such flag; nearest: {near[0]} (--help lists all)")


def _whole_number(flag: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**32:
        raise UserError(f"{flag}: found {text!r}, allowed: {_VALUES[flag]}")
    return int(text)


def _help() -> str:
    spaces = "\n".join(
        f"  {model:<12} " + " ".join(f"{name}={describe(domain)}" for name, domain in space.items())
        for model, space in DEFAULT_SPACES.items()
    )
    return HELP.format(forms=FORMS, spaces=spaces, configs=", ".join(config_files()) or "none in ./configs")
