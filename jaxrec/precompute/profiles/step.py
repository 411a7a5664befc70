"""Step "profiles": a table of fields of users, from what they say and from their training history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.profiles.build import build_profiles, income_table_for
from jaxrec.data.profiles.demographics import read_demographics
from jaxrec.data.profiles.files import write_profiles
from jaxrec.data.profiles.table import Field, Profiles
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step

_VERSION = 1
"""Raised when the same settings come to give another table."""


def make_profiles(job: Job) -> Profiles:
    """All fields: demographics, income (Eq. 2), behaviour (Eq. 3). Raises: UserError from the files that it reads."""
    config = job.config.profiles
    return build_profiles(job.config.data, job.dataset, config.demographics, config.income_table)


def _identity(job: Job) -> Any:
    config = job.config.profiles
    columns = read_demographics(config.demographics, job.config.data, job.dataset)
    table = income_table_for(config.income_table, columns)
    return {
        "version": _VERSION,
        "demographics": [
            [field.name, field.categories if isinstance(field, Field) else "number", values.tolist()]
            for field, values in columns
        ],
        "income_table": None if table is None else table.sha256,
    }


def _run(job: Job, folder: Path) -> Made:
    profiles = make_profiles(job)
    write_profiles(folder, profiles, job.dataset.users)
    report = {}
    for place, field in enumerate(profiles.fields):
        counts = np.bincount(profiles.codes[:, place], minlength=len(field.categories)).tolist()
        report[field.name] = {"source": field.source, "users": dict(zip(field.categories, counts, strict=True))}
        job.notice(f"profile field {field.name}: {len(field.categories) - 1} categories, {counts[0]:,} users unknown")
    known = np.isfinite(profiles.numbers)
    for place, field in enumerate(profiles.number_fields):
        unknown = int((~known[:, place]).sum())
        job.notice(f"profile field {field.name}: numbers, {unknown:,} users unknown")
    present = int(((profiles.codes > 0).any(axis=1) | known.any(axis=1)).sum())
    return Made(
        model="rules",
        rows={"user": {"rows": len(profiles.codes), "present": present}},
        extra={"fields": [field.name for field in (*profiles.fields, *profiles.number_fields)], "histograms": report},
    )


STEP = Step(
    name="profiles",
    summary="fields of each user: who they are, income, what their history says (UiM)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
)
