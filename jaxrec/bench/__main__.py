"""The command `python -m jaxrec.bench`: list workloads, run them, compare two reports."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import shutil
import sys
from typing import Any, NoReturn

from jaxrec.bench.comparison import compare, failures, read_report, table
from jaxrec.bench.registry import WORKLOADS, load
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError


class _Parser(argparse.ArgumentParser):
    """Errors as one line of the form that every command has."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"bench: {message}")


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 where a comparison fails or a check does not hold, 2 for the user's mistake."""
    try:
        options = _parser().parse_args(arguments)
        return {"list": _list, "run": _run, "compare": _compare}[options.command](options)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m jaxrec.bench", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every workload and what it measures", allow_abbrev=False)
    run = commands.add_parser("run", help="run workloads, one repetition of each variant in turn", allow_abbrev=False)
    run.add_argument("names", nargs="+", metavar="NAME", help=f"workloads, or `all`: {', '.join(WORKLOADS)}")
    run.add_argument("--out", metavar="FILE.json", help="write the report here")
    run.add_argument("--repeats", type=int, default=9, metavar="N", help="timed repetitions of each variant (9)")
    run.add_argument("--torch-python", metavar="PATH", help="an interpreter that has PyTorch, for the PyTorch peers")
    run.add_argument("--scale", choices=("small", "full"), default="full", help="sizes: full, or small in seconds")
    run.add_argument(
        "--checkpoint", metavar="PATH", help="a language model in place of random weights: candidate_ranking"
    )
    comparison = commands.add_parser("compare", help="two reports side by side", allow_abbrev=False)
    comparison.add_argument("before", metavar="A.json")
    comparison.add_argument("after", metavar="B.json")
    comparison.add_argument(
        "--fail-over", type=float, metavar="FACTOR", help="exit 1 where a variant of ours takes this much longer"
    )
    return parser


def _list(options: argparse.Namespace) -> int:
    del options
    for name in WORKLOADS:
        sys.stdout.write(f"{name:<16} {load(name).DESCRIPTION}\n")
    return 0


def _run(options: argparse.Namespace) -> int:
    if options.repeats < 1:
        raise UserError(f"--repeats: found {options.repeats}, allowed 1 or more")
    names = list(WORKLOADS) if options.names == ["all"] else options.names
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise UserError(f"bench: found workload {unknown[0]!r}, allowed {', '.join(WORKLOADS)} or all")
    if options.out is not None and not pathlib.Path(options.out).absolute().parent.is_dir():
        raise UserError(f"--out: found {options.out!r}, allowed a file in a folder that exists")
    if options.torch_python is not None and shutil.which(options.torch_python) is None:
        raise UserError(f"--torch-python: found {options.torch_python!r}, allowed an interpreter that has PyTorch")
    settings = Settings(options.repeats, options.torch_python, options.scale, options.checkpoint)
    from jaxrec.bench.environment import environment  # touches the devices, which `list` and mistakes should not

    report: dict[str, Any] = {
        "schema": 1,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "settings": {"repeats": settings.repeats, "scale": settings.scale, "torch": settings.torch_python is not None},
        "workloads": {},
    }
    holds = True
    for name in names:
        sys.stderr.write(f"{name}\n")
        entry = load(name).run(settings)
        report["workloads"][name] = entry
        sys.stdout.write(_summary(name, entry))
        holds &= all(entry["checks"].values())
        if options.out is not None:  # after each, so that a stopped run keeps what it measured
            _write(options.out, report)
    return 0 if holds else 1


def _write(path: str, report: dict[str, Any]) -> None:
    try:
        pathlib.Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out: found {path!r} ({error.strerror}), allowed a file that can be written") from None


def _compare(options: argparse.Namespace) -> int:
    before, after = read_report(options.before), read_report(options.after)
    changes = compare(before, after)
    if not changes:
        raise UserError(
            f"{options.after}: found no variant that {options.before} holds too, allowed reports that share one"
        )
    sys.stdout.write(table(changes) + "\n")
    failed = failures(changes, after, options.fail_over)
    sys.stderr.writelines(f"{line}\n" for line in failed)
    return 1 if failed else 0


def _summary(name: str, entry: dict[str, Any]) -> str:
    lines = [f"{name} ({entry.get('unit', 'seconds')})"]
    for variant, times in entry["variants"].items():
        ratio = entry.get("ratios", {}).get(variant)
        slower = f"  {ratio['median']:6.2f}x (min/min {ratio['min']:.2f}x)" if ratio else ""
        lines.append(f"  {variant:<52} {times['median']:.4g} (min {times['min']:.4g}){slower}")
    lines += [f"  {'ok    ' if holds else 'FAILED'} {check}" for check, holds in entry["checks"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
