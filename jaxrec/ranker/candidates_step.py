"""Step "candidates": the items that a language model is to put in order: the best of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from jaxrec.errors import UserError
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Step


def _identity(job: Job) -> Any:
    return {"version": 0}


def _run(job: Job, folder: Path) -> NoReturn:
    raise UserError("steps: found candidates, which this version does not make yet")


STEP = Step(
    name="candidates",
    summary="the items that a language model is to put in order: the best of a run",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
    needs=(),
)
