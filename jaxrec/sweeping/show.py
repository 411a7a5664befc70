"""What a sweep says on the terminal when it ends."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrec.report import print_sample_banner
from jaxrec.sweeping.record import budget_line, cells, hints, ranked
from jaxrec.sweeping.run import FinishedSweep
from jaxrec.sweeping.search import short_names

_SHOWN = 10


def print_sweep(console: Console, sweep: FinishedSweep, final: bool) -> None:
    """The best trials, what was chosen, where it lies and what to do next. final: the test part is read right after."""
    summary, folder = sweep.summary, sweep.folder
    order = ranked(summary)
    name, monitor = summary["name"], summary["monitor"]
    console.print(
        f"{name}: {len(order)} trials, chosen by validation {monitor}; the search reads no test part", soft_wrap=True
    )
    console.print(_table(cells(summary, order[:_SHOWN])))
    if len(order) > _SHOWN:
        console.print(f"and {len(order) - _SHOWN} more in {folder / 'sweep.md'}", soft_wrap=True, markup=False)
    if summary["importance"]:
        names = short_names(list(sweep.space))
        shares = ", ".join(f"{names[field]} {share:.0%}" for field, share in summary["importance"].items())
        console.print(f"share in the variance of the values (fANOVA): {shares}", soft_wrap=True)
    if summary["dataset"]["source"] == "sample":
        print_sample_banner(console)
    picture = ", sweep.png" if sweep.drawn else " (a picture needs matplotlib: pip install 'jaxrec[plots]')"
    lines = [
        f"budget   {budget_line(summary['budget'])}",
        f"best     {_best(summary)}",
        *(f"hint     {hint}" for hint in hints(summary, sweep.space)),
        f"config   {folder / 'best.json'}",
        f"tables   {folder / 'sweep.md'}, sweep.json{picture}",
    ]
    if not final:
        command = " ".join(shlex.quote(word) for word in sweep.final)
        lines.append(f"next     python -m jaxrec.launch {command}")
        lines.append("         reads the test part, once, for the chosen settings; so does --final")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def print_rows(console: Console, sweeps: Sequence[FinishedSweep]) -> None:
    """Several sweeps side by side: one row each, under one budget."""
    monitor = sweeps[0].summary["monitor"]
    rows = [["", "trials", f"valid {monitor}, as it stands", f"valid {monitor}, best", "trial"]]
    for summary in (sweep.summary for sweep in sweeps):
        best = summary["best"]
        trials = len(summary["trials"])
        rows.append([summary["name"], str(trials), _as_it_stands(summary), f"{best['value']:.4f}", str(best["trial"])])
    console.print(_table(rows, left=1))
    numbers = {sweep.summary["name"]: len(sweep.summary["trials"]) for sweep in sweeps}
    most = max(numbers, key=lambda name: numbers[name])
    if min(numbers.values()) < numbers[most]:
        console.print(
            f"hint     the budgets differ, as {most} was searched before: --trials {numbers[most]} makes them equal",
            soft_wrap=True,
            markup=False,
        )


def _table(rows: list[list[str]], left: int = 0) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    header, *body = rows
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index < left or name == "state" else "right", overflow="fold")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _best(summary: dict[str, Any]) -> str:
    best = summary["best"]
    found = f"trial {best['trial']}: valid {summary['monitor']} {best['value']:.4f}"
    if best["as_it_stands"]:
        return f"{found}, the config as it stands"
    return f"{found}; the config as it stands: {_as_it_stands(summary)}"


def _as_it_stands(summary: dict[str, Any]) -> str:
    start = next(trial for trial in summary["trials"] if trial["as_it_stands"])
    return "failed" if start["value"] is None else f"{start['value']:.4f}"
