"""What a user sees of the stage: the plan before anything is paid, and progress while it is asked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from jaxrec.precompute.progress import Progress
from jaxrec.precompute.requests import Plan

_SECONDS_A_LINE = 30.0


class Display:
    """Notices and progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def notice(self, line: str) -> None:
        """One line."""
        self._console.print(f"jaxrec: {line}", soft_wrap=True, markup=False)

    @contextlib.contextmanager
    def asking(self, label: str) -> Iterator[Callable[[Progress], None]]:
        """Show the figures that the function is given until the end, then the last of them as one line."""
        last: Progress | None = None
        told = time.monotonic()
        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        task = bar.add_task(label, total=None, status="")

        def show(progress: Progress) -> None:
            nonlocal last, told
            last = progress
            bar.update(task, total=progress.total, completed=progress.ended, status=_figures(progress))
            if not self._console.is_terminal and time.monotonic() - told >= _SECONDS_A_LINE:
                told = time.monotonic()
                self.notice(f"{label}: {_figures(progress)}")

        with bar:
            try:
                yield show
            finally:
                bar.stop()
                if last is not None and last.total:
                    self.notice(f"{label}: {_figures(last)}")


def print_plan(console: Console, plans: Mapping[str, Plan | None]) -> None:
    """Requests, tokens, cost and time of each step and of all; None for a step whose output is there already."""
    table = Table(title="what would be asked: tokens of prompts and answers, US dollars", title_justify="left")
    table.add_column("step", no_wrap=True)
    for column in ("requests", "kept", "prompts", "answers", "cost", "time"):
        table.add_column(column, justify="right")
    whole = Plan()
    for name, plan in plans.items():
        if plan is None:
            table.add_row(name, "made already")
            continue
        whole += plan
        table.add_row(name, *(_plan_cells(plan) if plan.requests else ("asks nobody",)))
    table.add_section()
    table.add_row("all", *_plan_cells(whole))
    console.print(table)
    if whole.cached:
        tokens = f"{whole.cached_prompt_tokens + whole.cached_completion_tokens:,} tokens"
        line = f"the kept answers took {tokens}, {_dollars(whole.cached_cost_usd)} US dollars; they are free now"
        console.print(line, soft_wrap=True, markup=False)
    for note in whole.notes:
        console.print(note, soft_wrap=True, markup=False)


def _plan_cells(plan: Plan) -> list[str]:
    counts = (plan.requests, plan.cached, plan.prompt_tokens, plan.completion_tokens)
    if plan.untimed:
        duration = f"over {_duration(plan.seconds)}" if plan.seconds else "unknown"
    else:
        duration = _duration(plan.seconds)
    return [*(f"{count:,}" for count in counts), _dollars(plan.cost_usd), duration]


def _figures(progress: Progress) -> str:
    parts = [f"{progress.done:,} of {progress.total:,} done"]
    if progress.cached:
        parts[0] += f" ({progress.cached:,} kept)"
    parts += [f"{progress.failed:,} failed", f"{progress.missing:,} missing"]
    if progress.stopped:
        parts.append(f"{progress.stopped:,} stopped")
    tokens = progress.prompt_tokens + progress.completion_tokens
    if tokens:
        parts += [f"{tokens:,} tokens", f"{_dollars(progress.cost_usd)} US dollars"]
    parts.append(f"{progress.rate:,.1f} a second")
    if progress.seconds_left and progress.ended < progress.total:
        parts.append(f"{_duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _dollars(amount: float) -> str:
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.4f}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "at once" if seconds == 0 else "1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
