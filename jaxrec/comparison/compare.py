"""The comparison itself: systems, the best of each metric, and its tests against the others."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxrec.comparison.runs import check_comparable, common_metrics, load_run
from jaxrec.comparison.systems import System, differences, group_systems
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import load_per_user
from jaxrec.eval.ranking_name import ranking_name
from jaxrec.eval.significance import SIGNIFICANT, holm, paired_t_test, wilcoxon_test


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """The best system against another one: p-values of paired tests over users, and Holm's correction of the first."""

    t_test: float
    wilcoxon: float
    holm: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Systems in the order given. best: metric -> name; tests: metric -> the others' names -> test of the best.

    ranking: what the protocol is called in print. starred: metrics where the best is better than each other system,
    Holm-corrected p below 0.05. references: of the protocol and part, empty where a run holds none. notes: what the
    table does not show.
    """

    protocol: str
    ranking: str
    part: str
    metric_names: tuple[str, ...]
    systems: tuple[System, ...]
    references: dict[str, dict[str, float]]
    best: dict[str, str]
    tests: dict[str, dict[str, PairedTest]]
    starred: frozenset[str]
    notes: tuple[str, ...]


def compare_runs(
    folders: Sequence[pathlib.Path], protocol: str | None, part: str, metric_names: Sequence[str] = ()
) -> Comparison:
    """Group runs by configuration, average over seeds, test the best of each metric against the others.

    Without a protocol: the main one of the first run. Without metric_names: recall and ndcg at the cut-off of the
    runs' monitor.

    Raises UserError for runs that must not be compared: on other data, under another protocol or other masks, the
    same run twice.
    """
    runs = [load_run(folder) for folder in folders]
    chosen: str = protocol or runs[0].result.get("main", "full")
    for run in runs:
        check_comparable(runs[0], run, chosen, part)
    names = common_metrics(runs, chosen, part, metric_names)
    systems, notes = group_systems(runs, chosen, part, names)
    best = {name: max(systems, key=lambda system, name=name: system.metrics[name].mean).name for name in names}
    tests: dict[str, dict[str, PairedTest]] = {}
    if len(systems) > 1:
        try:
            tests = paired_tests(systems, chosen, part, names, best)
        except UserError as error:
            notes.append(f"no test: {error}")
    starred = frozenset(
        name for name, others in tests.items() if others and all(test.holm < SIGNIFICANT for test in others.values())
    )
    references = runs[0].result["protocols"][chosen].get("reference", {}) if part == "test" else {}
    if part != "test":
        notes.append("random, popularity and the like are recorded for the test part alone")
    ranking = ranking_name(chosen, runs[0].result["protocols"][chosen])
    return Comparison(
        chosen, ranking, part, names, tuple(systems), references, best, tests, starred, (*notes, *differences(systems))
    )


def paired_tests(
    systems: Sequence[System], protocol: str, part: str, names: Sequence[str], best: dict[str, str]
) -> dict[str, dict[str, PairedTest]]:
    """Paired tests over users of the best against each other system; coverage has no value a user and no test."""
    per_user = {system.name: per_user_means(system, protocol, part) for system in systems}
    users = {name: ids for name, (ids, _) in per_user.items()}
    first = next(iter(users.values()))
    for name, ids in users.items():
        if not np.array_equal(first, ids):
            raise UserError(f"the users of {name} are not those of {next(iter(users))}")
    tests: dict[str, dict[str, PairedTest]] = {}
    for metric in names:
        if any(metric not in values for _, values in per_user.values()):
            continue
        winner = per_user[best[metric]][1][metric]
        others = {name: values[metric] for name, (_, values) in per_user.items() if name != best[metric]}
        t_tests = [paired_t_test(winner, other) for other in others.values()]
        tests[metric] = {
            name: PairedTest(t_test, wilcoxon_test(winner, other), corrected)
            for (name, other), t_test, corrected in zip(others.items(), t_tests, holm(t_tests), strict=True)
        }
    return tests


def per_user_means(system: System, protocol: str, part: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Raw user ids, sorted, and each metric's values averaged over the seeds."""
    ids: np.ndarray | None = None
    sums: dict[str, np.ndarray] = {}
    for run in system.runs:
        users, values = load_per_user(run.folder, part, protocol)
        order = np.argsort(users)
        if ids is not None and not np.array_equal(ids, users[order]):
            raise UserError(f"{run.folder / 'per_user.npz'}: its users are not those of {system.runs[0].folder}")
        ids = users[order]
        ordered = {name: column[order] for name, column in values.items()}
        sums = {name: sums[name] + ordered[name] for name in sums if name in ordered} if sums else ordered
    assert ids is not None
    return ids, {name: column / len(system.runs) for name, column in sums.items()}
