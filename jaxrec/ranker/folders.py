"""What a ranking was made of: the folders of the steps before it, and the run that chose its candidates."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxrec.assembly import recorded_run
from jaxrec.data.manifest import MANIFEST, read_manifest
from jaxrec.errors import UserError
from jaxrec.llm.config import read_object

RETRIEVER = "retriever.json"
"""Where the run lay that chose the candidates. Apart from the manifest, which is equal for equal outputs."""


def needed_folder(ranking: Path, step: str) -> Path:
    """The folder of a step that a ranking stands on. Raises: UserError where its manifest names none."""
    path = ranking / MANIFEST
    try:
        return ranking.parent / json.loads(path.read_text(encoding="utf-8"))["needs"][step]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: does not name the folder of the step {step}; make the step ranking anew") from None


def write_retriever(folder: Path, run: Path) -> None:
    """Into a folder of step "candidates": where the run lies."""
    told = json.dumps({"folder": str(run.absolute())}, indent=1)
    (folder / RETRIEVER).write_text(told + "\n", encoding="utf-8")


def retriever_folder(candidates: Path, given: Path | None, known: str | None, beside: Iterable[Path]) -> Path:
    """The run that chose the candidates of a folder of step "candidates".

    given: what the user says it is. Without it the first run of the same hash of: known, which the settings name, what
    the folder has recorded, and the folders within `beside`. Raises: UserError where there is none, or the given one
    is another run.
    """
    told = read_manifest(candidates / MANIFEST).get("retriever")
    if not isinstance(told, dict) or not {"model", "config_hash", "best_step"} <= told.keys():
        raise UserError(f"{candidates / MANIFEST}: does not say which run chose the candidates; make the step anew")
    wanted = f"a run of {told['model']} with hash {told['config_hash']}"
    if given is not None:
        _, result = recorded_run(given)
        if not _is_run(result, told):
            raise UserError(
                f"--retriever {given}: found a run of {result.get('model')} with hash {result.get('config_hash')}, "
                f"allowed: the one that chose the candidates, {wanted}"
            )
        return given
    recorded = read_object(candidates / RETRIEVER).get("folder") if (candidates / RETRIEVER).is_file() else None
    places = [Path(place).expanduser() for place in (known, recorded) if isinstance(place, str)]
    places += sorted(path.parent for parent in dict.fromkeys(beside) for path in parent.glob("*/result.json"))
    for place in places:
        if _is_run(_result(place), told):
            return place
    lay = f"not at {places[0]}, where it lay, nor" if recorded or known else "not"
    raise UserError(
        f"{candidates}: the run that chose the candidates, {wanted}, is {lay} beside them; "
        "allowed: --retriever DIR, its folder"
    )


def _result(folder: Path) -> Any:
    """What a run has recorded; {} where there is nothing that can be read."""
    try:
        return read_object(folder / "result.json")
    except UserError:
        return {}


def _is_run(result: Any, told: dict[str, Any]) -> bool:
    return all(result.get(name) == told[name] for name in ("config_hash", "best_step"))
