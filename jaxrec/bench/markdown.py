"""Reports as the tables of docs/benchmarks.md: goals and figures beside the commands that measure them anew."""

from __future__ import annotations

from typing import Any

from jaxrec.bench.devices import of_report
from jaxrec.bench.goal import Judged
from jaxrec.bench.goals import GOALS, judge_all
from jaxrec.bench.report import parts
from jaxrec.errors import UserError

GOALS_COMMAND = "python -m jaxrec.bench goals --torch-python PYTHON --out report.json"
BEGIN, END = "<!-- begin: python -m jaxrec.bench table -->", "<!-- end: python -m jaxrec.bench table -->"


ACCELERATORS = f"""### Goals for accelerators

G goals need one accelerator, M goals eight devices: `{GOALS_COMMAND}` on a machine that has them.
"""


def tables(report: dict[str, Any] | None, accelerator: dict[str, Any] | None = None) -> str:
    """Goals of CPU cores and of accelerators, each with figures of its report and where they were measured.

    Without a report the goals alone, nothing measured.
    """
    if report is None:
        parts = [goal_table([Judged(goal) for goal in GOALS if goal.needs == "two CPU cores"], "Not measured yet.")]
    else:
        parts = [goal_table(judge_all(report), measured_on(report)), figure_table(report)]
    parts.append(ACCELERATORS)
    if accelerator is None:
        rest = [Judged(goal) for goal in GOALS if goal.needs != "two CPU cores"]
        return "\n".join([*parts, goal_table(rest, "Not measured: no accelerator was at hand.")])
    rest = judge_all(accelerator)
    judged = {id(one.goal) for one in rest}
    needs = [goal for goal in GOALS if goal.needs != "two CPU cores" and id(goal) not in judged]
    rest += [Judged(goal, missing=f"needs {goal.needs}") for goal in needs]
    return "\n".join([*parts, goal_table(rest, measured_on(accelerator)), figure_table(accelerator)])


def by_machine(reports: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Reports of CPUs, and of accelerators."""
    of_cpu = [report for report in reports if "two CPU cores" in of_report(report)]
    return of_cpu, [report for report in reports if "two CPU cores" not in of_report(report)]


def measured_on(report: dict[str, Any]) -> str:
    """Device, cores, versions and flags, and day, repetitions and commit of each run, in one paragraph."""
    found, runs = report["environment"], parts(report)
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    flags = ", ".join(f"`{name}={value}`" for name, value in found["flags"].items() if value) or "none"
    devices = f"{found['num_devices']} x {found['device_kind']}, {found['cores']} cores"
    where = f"Measured on {devices}, {versions}; flags: {flags}. "
    if len(runs) == 1:
        return where + _run(runs[0]) + "."
    return where + "; ".join(f"{', '.join(run['workloads'])}: {_run(run)}" for run in runs) + "."


def _run(run: dict[str, Any]) -> str:
    commit = run["commit"] or "unknown"
    return f"{run['created'][:10]}, {run['repeats']} repetitions, commit {commit[:12]}{'+' * commit.endswith('+')}"


def goal_table(judged: list[Judged], above: str) -> str:
    """One line a goal."""
    rows = [
        "| goal | what | against | must | aim | measured (min/min) | | command |",
        "|---|---|---|---:|---:|---:|---|---|",
    ]
    for one in judged:
        goal, say = one.goal, one.goal.find.say
        asked = [say(number) if number is not None else "" for number in (goal.must, goal.aim)]
        value = ""
        if one.measured is not None and one.minima is not None:
            value = say(one.measured) + (f" ({say(one.minima)})" if one.minima != one.measured else "")
        said = one.verdict if one.measured is not None or one.missing else ""
        rows.append(_row(goal.id, goal.subject, goal.against, *asked, value, said, f"`{goal.command}`"))
    return "\n".join([above, "", *rows, ""])


def figure_table(report: dict[str, Any]) -> str:
    """One line a variant of every workload: times, the share of the bound, and what its program costs."""
    rows = [
        "| workload, variant | unit | median | least | of the bound | by | compiled | temporary | said | kernels |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for name, entry in report["workloads"].items():
        programs, bounds = entry.get("programs", {}), entry.get("roofline", {})
        peak = entry.get("peak_rss_bytes")
        held = f", {of_bytes(peak)} resident at most" if peak else ""
        rows.append(_row(f"**{name}**: `{command(name, report)}`{held}", *[""] * 9))
        for variant in dict.fromkeys([*entry["variants"], *programs]):
            times, limit, cost = entry["variants"].get(variant), bounds.get(variant), programs.get(variant, {})
            rows.append(
                _row(
                    variant,
                    entry.get("unit", "seconds") if times else "",
                    f"{times['median']:.4g}" if times else "",
                    f"{times['min']:.4g}" if times else "",
                    f"{limit['share']:.2f}" if limit else "",
                    limit["limit"] if limit else "",
                    f"{cost['compile_seconds']:.1f} s" if cost.get("compile_seconds") is not None else "",
                    of_bytes(cost.get("temporary_bytes")),
                    of_bytes(cost.get("collective_bytes") or None),
                    str(cost["kernels"]) if "kernels" in cost else "",
                )
            )
    return "\n".join([*rows, ""])


def command(workload: str, report: dict[str, Any]) -> str:
    """What measures a workload of a report anew."""
    torch = " --torch-python PYTHON" if report["settings"]["torch"] else ""
    scale = "" if report["settings"]["scale"] == "full" else f" --scale {report['settings']['scale']}"
    return f"python -m jaxrec.bench run {workload}{torch}{scale} --repeats {report['settings']['repeats']}"


def between_markers(page: str, name: str, content: str) -> str:
    """The page with what lies between its markers replaced. Raises UserError where it has not exactly one pair."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise UserError(f"{name}: found no pair of markers, allowed one line {BEGIN!r} and below it one {END!r}")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n\n{content.strip()}\n\n{END}{after}"


def costs(program: dict[str, Any]) -> str:
    """A compiled program in one line."""
    parts = [f"{program['kernels']} kernels"]
    if program.get("compile_seconds") is not None:
        parts.append(f"compiled in {program['compile_seconds']:.1f} s")
    if program["temporary_bytes"] is not None:
        parts.append(f"{of_bytes(program['temporary_bytes'])} temporary")
    if program["collective_bytes"]:
        parts.append(f"{of_bytes(program['collective_bytes'])} said between devices")
    return ", ".join(parts)


def of_bytes(count: int | None) -> str:
    """In B, KB, MB or GB of 1,000; nothing for None."""
    if count is None:
        return ""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
