"""What follows `python -m jaxrec.study`: the study's own flags, and those of its experiments."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from jaxrec.errors import UserError
from jaxrec.studies.refining import PREFIX

HELP = """\
usage: python -m jaxrec.study FILE [--workdir DIR] [--runs DIR] [--jobs N] [--seeds N]
                              [--data NAME=PATH ...] [--text NAME=PATH ...] [--table-only] [--flag value ...]

Run a grid of experiments and seeds, and write its table.

  FILE                  Python file with get_study() -> Study, such as configs/studies/lmmrec_table1.py
  --workdir DIR         where table.md, table.json and figure.png go; studies/<name> by default
  --runs DIR            where the run folders go; studies/runs by default, so that studies share what they have in
                        common; DIR/runs with --workdir DIR
  --jobs N              runs at once, each on its own cores; by default one for every two cores, and one on a machine
                        with accelerators
  --seeds N             the first N seeds of the study; of more than it has, the next whole numbers follow
  --data NAME=PATH      where the data set NAME lies; without it $JAXREC_DATA/NAME, then the built-in sample
  --text NAME=PATH      where its text features lie, for the rows that read text
  --table-only          run nothing, write the table of what is finished
  --help                this text

Every field of an experiment is a flag too, laid over every run, such as --train.epochs 10; those of text,
features and profiles (--text.dim and the like) reach only the rows that read them. A flag of jaxrec.refine with
--refine. before it, such as --refine.backend local, reaches the rows whose agent is a model, and
--refine.simulated-user.user-limit N every row with an agent.
Studies here: {studies}
"""
_PATHS = ("--workdir", "--runs")
_NUMBERS = ("--jobs", "--seeds")
_PLACES = ("--data", "--text")


class StudyArguments(NamedTuple):
    """The study file, what the command was told, and the experiments' own flags. None: not given."""

    path: pathlib.Path
    workdir: pathlib.Path | None
    runs: pathlib.Path | None
    jobs: int | None
    seeds: int | None
    data: dict[str, str]
    text: dict[str, str]
    table_only: bool
    flags: list[str]
    refine: list[str]


def split_study_arguments(argv: Sequence[str]) -> StudyArguments:
    """Take the study's own flags out of argv; FILE stands before the first flag of the experiments.

    `--help` prints the help and raises SystemExit(0). Raises UserError for a value that is missing or wrong.
    """
    shipped = sorted(str(path) for path in pathlib.Path("configs/studies").glob("*.py"))
    studies = ", ".join(shipped) or "none in ./configs/studies"
    if any(word in ("-h", "--help") for word in argv):
        sys.stdout.write(HELP.format(studies=studies))
        raise SystemExit(0)
    words = list(argv)
    single: dict[str, str] = {}
    places: dict[str, dict[str, str]] = {flag: {} for flag in _PLACES}
    table_only, rest = False, []
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if flag == "--table-only":
            table_only = True
        elif flag in (*_PATHS, *_NUMBERS):
            value = value if equals else _next(words)
            if not value:
                raise UserError(f"{flag}: no value, allowed: a {'folder' if flag in _PATHS else 'whole number'}")
            if flag in single:
                raise UserError(f"{flag}: given twice, {single[flag]} and {value}")
            single[flag] = value
        elif flag in _PLACES:
            given = [value] if equals else []
            while not equals and words and not words[0].startswith("-") and "=" in words[0]:
                given.append(words.pop(0))
            if not given:
                found = f"found {words[0]!r}" if words and not words[0].startswith("-") else "no value"
                raise UserError(f"{flag}: {found}, allowed: NAME=PATH, such as yelp=data/yelp")
            for name, path in (_place(flag, place) for place in given):
                if name in places[flag]:
                    raise UserError(f"{flag} {name}: given twice, {places[flag][name]} and {path}")
                places[flag][name] = path
        elif flag == "--seed":
            raise UserError(
                "--seed: no flag of a study, whose seeds are in its file; allowed: --seeds N, how many of them"
            )
        else:
            rest.append(flag + equals + value)
    if not rest or rest[0].startswith("-"):
        raise UserError(f"FILE is missing, it stands before the flags of experiments; studies here: {studies}")
    folders = {flag: pathlib.Path(single[flag]).expanduser() for flag in _PATHS if flag in single}
    flags, refine = _divided(rest[1:])
    numbers = {flag: _number(flag, single[flag]) for flag in _NUMBERS if flag in single}
    return StudyArguments(
        pathlib.Path(rest[0]),
        folders.get("--workdir"),
        folders.get("--runs"),
        numbers.get("--jobs"),
        numbers.get("--seeds"),
        places["--data"],
        places["--text"],
        table_only,
        flags,
        refine,
    )


def _divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags of experiments and those of agents, each with the words that follow it."""
    parts: tuple[list[str], list[str]] = [], []
    part = parts[0]
    for word in words:
        if word.startswith("--"):
            part = parts[word.startswith(PREFIX)]
        part.append(word)
    return parts


def _next(words: list[str]) -> str:
    return words.pop(0) if words and not words[0].startswith("--") else ""


def _place(flag: str, written: str) -> tuple[str, str]:
    name, equals, path = written.partition("=")
    if not (name and equals and path):
        raise UserError(f"{flag}: found {written!r}, allowed: NAME=PATH, such as yelp=data/yelp")
    return name, path


def _number(flag: str, written: str) -> int:
    if not (written.isascii() and written.isdigit() and int(written) >= 1):
        raise UserError(f"{flag}: found {written!r}, allowed: a whole number from 1")
    return int(written)
