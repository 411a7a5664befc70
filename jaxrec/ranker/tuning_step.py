"""Step "tuning": a language model learns from some users to choose among candidates (SEALR)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from jaxrec.errors import UserError
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Step


def _identity(job: Job) -> Any:
    return {"version": 0}


def _run(job: Job, folder: Path) -> NoReturn:
    raise UserError("steps: found tuning, which this version does not make yet")


STEP = Step(
    name="tuning",
    summary="a language model learns from some users to choose among candidates (SEALR)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
    needs=("candidates",),
    needs_where=lambda config: ("sentiment",) if config.prompt.sentiment else (),
)
