"""Rows that an agent has refined, beside the others: which users they share, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrec.comparison.systems import System
from jaxrec.errors import UserError

Columns = Mapping[str, np.ndarray]


def is_refined(system: System) -> bool:
    """Whether an agent has put the lists of its runs in order."""
    return "refined" in system.runs[0].result


def of_shared_users(
    users: np.ndarray, values: Columns, others: np.ndarray, other_values: Columns
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values of the users that both have; an agent may have been asked for a part of them. Raises UserError for none.

    users, others: raw ids, ascending.
    """
    shared, left, right = np.intersect1d(users, others, assume_unique=True, return_indices=True)
    if not len(shared):
        raise UserError("they have no user in common")
    return (
        {name: column[left] for name, column in values.items()},
        {name: column[right] for name, column in other_values.items()},
    )


def refined_notes(systems: Mapping[tuple[str, str], System]) -> list[str]:
    """Of each refined row and column: who was asked what, of whom, how much was understood, and what it could reach."""
    notes = []
    for (row, column), system in systems.items():
        if not is_refined(system):
            continue
        told = [run.result["refined"] for run in system.runs]
        first = told[0]
        counts = {name: sum(one["counts"][name] for one in told) for name in first["counts"]}
        ceiling = f"hit@{first['candidates']}"
        notes.append(
            f"{row}, {column}: the top {first['candidates']} shown to {_agent(first)}, {first['top']} kept; "
            f"{counts['parsed']:,} of {counts['asked']:,} answers parsed, {counts['silent']:,} users without one, "
            f"{counts['in_another_order']:,} lists in another order, {counts['unknown_names']:,} unknown names, "
            f"{counts['repeated']:,} repeated; {ceiling} before, the most that hit@{first['top']} can be: "
            f"{np.mean([one['ceiling'][ceiling] for one in told]):.4f}"
        )
        if first["simulation"]:
            notes.append(f"{row} is a simulation: its agent reads what is to be predicted. It is no result.")
        if first["num_users"] < first["num_users_of_part"]:
            notes.append(_of_some(row, column, told))
    return notes


def _agent(told: Mapping[str, Any]) -> str:
    if told["agent"] == "llm":
        return f"the agent llm ({told['answered_by']}, template {told['template']})"
    return f"the agent {told['agent']}"


def _of_some(row: str, column: str, told: list[Mapping[str, Any]]) -> str:
    before = {name: float(np.mean([one["before"][name] for one in told])) for name in told[0]["before"]}
    return (
        f"{row}, {column}: its numbers are of {told[0]['num_users']:,} of {told[0]['num_users_of_part']:,} users, "
        f"drawn at random; before, these had {', '.join(f'{name} {value:.4f}' for name, value in before.items())}; "
        "comparisons with it are over the users that both rows have"
    )
