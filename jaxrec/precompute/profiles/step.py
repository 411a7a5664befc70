"""Step "profiles": a table of categorical fields of users, from what they say and from their training history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.item_words import read_item_words
from jaxrec.data.profiles.behaviour import behaviour_fields
from jaxrec.data.profiles.demographics import read_demographics
from jaxrec.data.profiles.income import income_field, read_income_table
from jaxrec.data.profiles.table import Profiles, join, write_profiles
from jaxrec.errors import UserError
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step

_VERSION = 1
"""Raised when the same settings come to give another table."""


def make_profiles(job: Job) -> Profiles:
    """All fields: demographics, income (Eq. 2), behaviour (Eq. 3). Raises: UserError from the files that it reads."""
    config, dataset = job.config.profiles, job.dataset
    columns = read_demographics(config.demographics, job.config.data, dataset)
    name = config.table_for(columns[0][0].source if columns else "none")
    if name is not None:
        income = income_field(read_income_table(name), join(columns, dataset.num_users))
        if income is None:
            raise UserError(
                f"profiles.income_table: found {name}, but no demographics with an occupation; "
                "allowed: --profiles.demographics FILE, or --profiles.income-table None"
            )
        columns.append(income)
    columns += behaviour_fields(dataset, read_item_words(job.config.data, dataset))
    return join(columns, dataset.num_users)


def _identity(job: Job) -> Any:
    config = job.config.profiles
    columns = read_demographics(config.demographics, job.config.data, job.dataset)
    name = config.table_for(columns[0][0].source if columns else "none")
    return {
        "version": _VERSION,
        "demographics": [[field.name, field.categories, codes.tolist()] for field, codes in columns],
        "income_table": None if name is None else read_income_table(name).sha256,
    }


def _run(job: Job, folder: Path) -> Made:
    profiles = make_profiles(job)
    write_profiles(folder, profiles, job.dataset.users)
    report = {}
    for place, field in enumerate(profiles.fields):
        counts = np.bincount(profiles.codes[:, place], minlength=len(field.categories)).tolist()
        report[field.name] = {"source": field.source, "users": dict(zip(field.categories, counts, strict=True))}
        job.notice(f"profile field {field.name}: {len(field.categories) - 1} categories, {counts[0]:,} users unknown")
    present = int((profiles.codes > 0).any(axis=1).sum()) if profiles.fields else 0
    return Made(
        model="rules",
        rows={"user": {"rows": len(profiles.codes), "present": present}},
        extra={"fields": [field.name for field in profiles.fields], "histograms": report},
    )


STEP = Step(
    name="profiles",
    summary="categorical fields of each user: who they are, income, what their history says (UiM)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
)
