"""What a simulated user said of one user's candidates, out of the record of a refinement and the files beside it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from jaxrec.errors import UserError
from jaxrec.run_folder import read_json

_KEYS = ("agent", "answered_by", "simulation", "top", "candidates", "config_hash", "folder")


class Refinement:
    """A refinement-….json of jaxrec.refine and the feedback that it was made from."""

    def __init__(self, path: pathlib.Path, run: pathlib.Path, config_hash: str) -> None:
        """Raises: UserError where a file is missing or damaged, or it refines another run."""
        self.record = read_json(path)
        missing = [key for key in _KEYS if key not in self.record]
        if missing:
            raise UserError(f"{path}: found no {missing[0]!r}, allowed: a record that jaxrec.refine wrote")
        if self.record["config_hash"] != config_hash:
            raise UserError(f"{path}: refines the run {self.record['config_hash']}, not {config_hash} of {run}")
        self._feedback = _read_feedback(run / self.record["folder"] / "feedback.jsonl")

    def of(self, raw_user: str) -> dict[str, Any] | None:
        """What was shown and said, None of a user who was not asked.

        shown, kept: raw item ids, best first. said: the names in the agent's words, None where it was silent.
        """
        line = self._feedback.get(raw_user)
        if line is None:
            return None
        top, shown = self.record["top"], line["candidates"]
        return {
            **{key: self.record[key] for key in ("agent", "answered_by", "simulation", "top")},
            "shown": shown,
            "kept": [shown[place] for place in line["order"]][:top],
            "said": line["said"],
            "comments": line.get("comments", ""),
            "unknown": line["unknown"],
        }


def _read_feedback(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {line["user"]: line for line in lines if sorted(line["order"]) == list(range(len(line["candidates"])))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise UserError(f"{path}: not what an agent said, as jaxrec.refine writes it ({reason})") from error
