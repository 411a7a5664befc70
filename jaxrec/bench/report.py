"""Reports as files: one JSON object of schema 1, written by `bench run` and `bench goals`."""

from __future__ import annotations

import datetime
import json
import pathlib
from typing import Any

from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError


def new_report(settings: Settings) -> dict[str, Any]:
    """A report without workloads. Touches the devices."""
    from jaxrec.bench.environment import environment

    return {
        "schema": 1,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "settings": {"repeats": settings.repeats, "scale": settings.scale, "torch": settings.torch_python is not None},
        "workloads": {},
    }


def read_report(path: str) -> dict[str, Any]:
    """A report of schema 1. Raises UserError where the file is none."""
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; allowed: a report of `bench run --out`") from None
    except ValueError as error:
        raise UserError(f"{path}: found no JSON ({error}), allowed: a report of `bench run --out`") from None
    if not isinstance(report, dict) or report.get("schema") != 1 or not isinstance(report.get("workloads"), dict):
        raise UserError(f"{path}: found no report of schema 1, allowed: a report of `bench run --out`")
    return report


def write_report(path: str, report: dict[str, Any]) -> None:
    """Raises UserError where the file cannot be written."""
    try:
        pathlib.Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out: found {path!r} ({error.strerror}), allowed a file that can be written") from None


def merge(report: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both reports' workloads in one; where both hold one, the other's stands. parts: as the function of that name."""
    measured = {name: part for one in (report, other) for part in parts(one) for name in part["workloads"]}
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, part in measured.items():
        key = part["created"][:10], part["commit"], part["repeats"]
        joined.setdefault(key, part | {"workloads": []})["workloads"].append(name)
    workloads = report["workloads"] | other["workloads"]
    return {**report, "workloads": workloads, "parts": list(joined.values())}


def parts(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Day, commit, repetitions and workloads of each run that a report is made of."""
    own = {
        "created": report["created"],
        "commit": report["environment"].get("commit"),
        "repeats": report["settings"]["repeats"],
        "workloads": list(report["workloads"]),
    }
    return report.get("parts", [own])


def same_machine(report: dict[str, Any], other: dict[str, Any]) -> str | None:
    """What differs of two reports, so that they cannot stand in one table; None where nothing does."""
    environments = [{**one["environment"], "commit": None} for one in (report, other)]
    if environments[0] != environments[1]:
        return "environment"
    return None if report["settings"]["scale"] == other["settings"]["scale"] else "scale"
