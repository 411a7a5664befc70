"""Which rows of a study rank the same candidates of the same users; chance is told of each such ranking."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

from jaxrec.comparison.systems import System

Systems = Mapping[tuple[str, str], System]
References = dict[str, dict[str, float]]


def ranking_of_system(system: System, protocol: str) -> Hashable:
    """Equal of systems whose numbers can be the best of one column: candidates and number of users.

    A retriever's pools are told by what chance, popularity and the retriever reach with them: their digest is of all
    users of their file, of whom runs that tune on more or fewer rank the same ones.
    """
    result = system.runs[0].result
    record = result["protocols"][protocol]
    size, told = record.get("pool_size"), record.get("candidates")
    if size is not None and record.get("reference"):
        told = json.dumps(record["reference"], sort_keys=True)
    return told, size, _num_users(result, record)


def references_by_ranking(systems: Systems, columns: list[str], protocol: str) -> dict[str, dict[str, References]]:
    """What chance and other orders reach: by the words that tell a ranking from the others, by column.

    Where all rows of every column rank alike, there is one ranking, without words.
    """
    rankings: dict[str, dict[Hashable, tuple[str, Mapping[str, Any]]]] = {column: {} for column in columns}
    for (row, column), system in systems.items():
        rankings[column].setdefault(ranking_of_system(system, protocol), (row, system.runs[0].result))
    several = any(len(held) > 1 for held in rankings.values())
    found: dict[str, dict[str, References]] = {}
    for column, held in rankings.items():
        records = [(row, result, result["protocols"][protocol]) for row, result in held.values()]
        sizes = [record.get("pool_size") for _, _, record in records]
        users = [_num_users(result, record) for _, result, record in records]
        for (row, _, record), size, number in zip(records, sizes, users, strict=True):
            words = []
            if len(set(sizes)) > 1 and size is not None:
                words.append(f"{size:,} candidates")
            if len(set(users)) > 1:
                words.append(f"{number:,} users")
            if several and list(zip(sizes, users, strict=True)).count((size, number)) > 1:
                words.append(f"the candidates of {row}")
            if record.get("reference"):
                found.setdefault(", ".join(words), {})[column] = record["reference"]
    return found


def _num_users(result: Mapping[str, Any], record: Mapping[str, Any]) -> int:
    """Users that the numbers are of: an agent may have been asked for some of them."""
    return result["refined"]["num_users"] if "refined" in result else record["num_users"]
