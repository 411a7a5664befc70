"""What a user sees while a model trains: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingDisplay:
    """Progress over steps with loss parts, examples per second and time left; quiet lines where nobody watches."""

    def __init__(self, console: Console, total_steps: int, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("epoch 0", total=total_steps, status="compiling")

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def train(self, step: int, epoch: int, parts: dict[str, float], examples_per_second: float) -> None:
        """Mean loss parts of the last steps."""
        losses = " ".join(f"{name} {value:.4f}" for name, value in parts.items())
        status = f"{losses}  {examples_per_second:,.0f} examples/s"
        self._progress.update(self._task, completed=step, description=f"epoch {epoch}/{self._epochs}", status=status)
        if not self._console.is_terminal and time.monotonic() - self._last_line >= 30:
            self._last_line = time.monotonic()
            self._console.print(f"epoch {epoch}/{self._epochs}  {status}", highlight=False, soft_wrap=True)

    def evaluation(self, epoch: int, monitor: str, value: float, best: float, since_best: int, patience: int) -> None:
        """The monitored metric of one validation."""
        note = (
            "best so far"
            if since_best == 0
            else f"best {best:.4f}, {since_best} of {patience or 'any number of'} without gain"
        )
        self._console.print(f"epoch {epoch:>4}  valid {monitor} {value:.4f}  ({note})", highlight=False, soft_wrap=True)
