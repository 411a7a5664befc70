"""Records of finished runs, and which of them answer the same question."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxrec.errors import UserError
from jaxrec.eval.identities import impossibilities
from jaxrec.run_folder import read_json


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, its configuration without the seed, and its result."""

    folder: pathlib.Path
    config: dict[str, Any]
    result: dict[str, Any]


def load_run(folder: pathlib.Path) -> Run:
    """A finished run's records. Raises UserError where it is missing or has not finished."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder")
    if not (folder / "result.json").is_file():
        raise UserError(
            f"{folder / 'result.json'}: not found, so the run has not finished; start it again to resume it"
        )
    result, config = read_json(folder / "result.json"), read_json(folder / "config.json")
    missing = [key for key in ("schema", "seed", "dataset", "protocols", "model") if key not in result]
    if missing or result["schema"] != 1:
        found = f"no {missing[0]}" if missing else f"schema {result['schema']}"
        raise UserError(f"{folder / 'result.json'}: found {found}, allowed is a result of schema 1")
    _require_possible(folder / "result.json", result)
    experiment = dict(config.get("experiment", {}))
    experiment.pop("seed", None)
    return Run(folder, experiment, result)


def _require_possible(path: pathlib.Path, result: dict[str, Any]) -> None:
    """UserError for a table that no ranking can have: its file was changed, or whoever wrote it was wrong."""
    for protocol, record in result["protocols"].items():
        for part in ("valid", "test"):
            wrong = impossibilities(record.get(part, {}), part == "test" and record.get("single_target", False))
            if wrong:
                raise UserError(f"{path}: {protocol}, {part} part: {wrong[0]}, which no ranking can give")


def check_comparable(first: Run, run: Run, protocol: str, part: str) -> None:
    """UserError where two runs' numbers do not answer the same question."""
    found = run.result["protocols"].get(protocol)
    if found is None:
        raise UserError(f"{run.folder}: has no protocol {protocol!r}, there are: {', '.join(run.result['protocols'])}")
    if part not in found:
        raise UserError(f"{run.folder}: has no {part} part under {protocol!r}")
    here, there = first.result["dataset"], run.result["dataset"]
    if here["sha256"] != there["sha256"]:
        raise UserError(
            f"{run.folder}: data {there['name']} {there['sha256'][:12]} is not the data {here['name']} "
            f"{here['sha256'][:12]} of {first.folder}; only runs on the same data, filter and split compare"
        )
    wanted = first.result["protocols"][protocol]
    for field in ("masked", "candidates", "num_users"):
        if wanted.get(field) != found.get(field):
            raise UserError(
                f"{run.folder}: {field} of protocol {protocol!r} is {found.get(field)}, but {wanted.get(field)} "
                f"in {first.folder}"
            )


def common_metrics(runs: Sequence[Run], protocol: str, part: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """The wanted metrics, or recall and ndcg at the monitor's cut-off; UserError for one that some run lacks."""
    common = [
        name
        for name in runs[0].result["protocols"][protocol][part]
        if all(name in run.result["protocols"][protocol][part] for run in runs)
    ]
    for name in wanted:
        if name not in common:
            raise UserError(f"--metric {name}: not in every run; there are: {', '.join(common)}")
    cutoff = runs[0].result.get("monitor", "ndcg@10").partition("@")[2]
    usual = [name for name in (f"recall@{cutoff}", f"ndcg@{cutoff}") if name in common]
    chosen = tuple(dict.fromkeys(wanted or usual or common))
    if not chosen:
        raise UserError(f"the runs have no metric in common under {protocol!r}")
    return chosen
