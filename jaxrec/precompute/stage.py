"""The stage: its steps in order, each into a folder of its own that is named after what decides its content."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jaxrec
from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared import dataset_sha256
from jaxrec.data.source import digest
from jaxrec.data.text_files import MANIFEST
from jaxrec.errors import UserError
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.precompute.job import StageJob
from jaxrec.precompute.prompts import read_prompt
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Made, Step

USAGE = "usage.json"
"""What the last run of the step asked and paid. Apart from the manifest, which is equal for equal outputs."""


@dataclasses.dataclass(frozen=True)
class Output:
    """A finished step: where its files lie, its manifest, and whether it was there before."""

    step: str
    folder: Path
    manifest: dict[str, Any]
    reused: bool


class Stage:
    """Steps over one data set. steps: in their order, those that others need included."""

    def __init__(
        self, config: PrecomputeConfig, dataset: Dataset, steps: Sequence[Step], answering: Answering, display: Display
    ) -> None:
        self._config, self._dataset, self._steps = config, dataset, steps
        self._answering, self._display = answering, display
        # Runs read the data without reviews unless they ask for them; the split is the same.
        self._run_sha256 = dataset_sha256(dataclasses.replace(config.data, reviews=False))
        self._keys: dict[str, str] = {}

    def plan(self) -> dict[str, Plan | None]:
        """By step what it would ask; None where its output is there, whole."""
        plans: dict[str, Plan | None] = {}
        for step in self._steps:
            # What is not whole will be made anew: counting what is there would promise too little.
            job = self._job(step, whole=True)
            plans[step.name] = None if self._finished(self.folder(step, job)) is not None else step.plan(job)
        return plans

    def run(self) -> list[Output]:
        """Make every step that is not there yet. Raises: UserError as the steps do; what was answered is kept."""
        outputs = []
        for step in self._steps:
            job = self._job(step)
            folder = self.folder(step, job)
            manifest = self._finished(folder)
            if manifest is None:
                self._display.notice(f"{step.name}: {step.summary}")
            reused = manifest is not None
            outputs.append(Output(step.name, folder, manifest or self._make(step, job, folder), reused))
        return outputs

    def folder(self, step: Step, job: StageJob) -> Path:
        """Where the output of a step lies or will lie."""
        return self._root() / f"{step.name}-{self._key(step, job)[:12]}"

    def _root(self) -> Path:
        return Path(self._config.out).expanduser() / (self._config.name or self._dataset.name)

    def _key(self, step: Step, job: StageJob) -> str:
        """sha256 of all that decides the output: the manifest's inputs_sha256."""
        if step.name not in self._keys:
            self._keys[step.name] = digest(
                {
                    "step": step.name,
                    "identity": step.identity(job),
                    "dataset": self._dataset.sha256,
                    "needs": {name: self._keys[name] for name in step.needs_of(self._config)},
                    "prompts": _prompt_hashes(step),
                }
            )
        return self._keys[step.name]

    def _job(self, step: Step, whole: bool = False) -> StageJob:
        """whole: with the outputs that are complete alone."""
        found = self._finished if whole else _read_manifest
        inputs: dict[str, Path | None] = {}
        for other in self._steps:
            if other.name in step.needs_of(self._config):
                folder = self._root() / f"{other.name}-{self._keys[other.name][:12]}"
                inputs[other.name] = folder if found(folder) is not None else None
        return StageJob(step.name, self._config, self._dataset, self._answering, self._display, inputs)

    def _finished(self, folder: Path) -> dict[str, Any] | None:
        """The manifest of an output to which asking again can add nothing."""
        manifest = _read_manifest(folder)
        return manifest if manifest is not None and manifest.get("complete") is True else None

    def _make(self, step: Step, job: StageJob, folder: Path) -> dict[str, Any]:
        """Run the step beside its place and move what it wrote there; an incomplete output makes way."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".writing-{step.name}-", dir=folder.parent))
        except OSError as error:
            raise UserError(f"out: {error.filename or folder.parent}: cannot be made ({error.strerror})") from error
        try:
            made = step.run(job, temporary)
            manifest = self._manifest(step, job, made, temporary)
            _write_json(temporary / USAGE, {"jaxrec": jaxrec.__version__} | job.usage())
            _write_json(temporary / MANIFEST, manifest)
            temporary.chmod(0o755)
            if folder.exists() and self._finished(folder) is None:
                shutil.rmtree(folder)
            if not folder.exists():  # else another process has made the same meanwhile
                os.replace(temporary, folder)
        except OSError as error:
            raise UserError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return manifest

    def _manifest(self, step: Step, job: StageJob, made: Made, folder: Path) -> dict[str, Any]:
        """The step's own manifest, if it wrote one, with the keys that every output has."""
        inputs = [_read_manifest(path) for path in job.inputs.values() if path is not None]
        complete = made.complete and all(manifest and manifest.get("complete") for manifest in inputs)
        rows = {
            kind: dict(counts) | {"missing_share": round(1 - counts["present"] / max(1, counts["rows"]), 6)}
            for kind, counts in made.rows.items()
        }
        own = _read_manifest(folder) or {}
        common = {
            "schema": 1,
            "step": step.name,
            "model": made.model,
            "prompts": _prompt_hashes(step),
            "inputs_sha256": self._key(step, job),
            "dataset": self._dataset.name,
            "dataset_sha256": self._run_sha256,
            "needs": {name: path.name for name, path in job.inputs.items() if path is not None},
            "rows": rows,
            "complete": complete,
        }
        return {**own, **made.extra, **common} | ({"launch_flag": made.launch_flag} if made.launch_flag else {})


def _prompt_hashes(step: Step) -> dict[str, str]:
    return {name: read_prompt(name).sha256 for name in step.prompts}


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none that can be read, which is then made anew."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
