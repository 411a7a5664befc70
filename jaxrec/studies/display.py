"""What a user sees while a study runs: a bar on a terminal, a line for each event elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jaxrec.studies.cells import Cell


class StudyDisplay:
    """Cells done, running and failed, and the time left by the mean of those that were run to their end."""

    def __init__(self, console: Console, total: int, done: int, jobs: int) -> None:
        self._console, self._total, self._done, self._jobs = console, total, done, jobs
        self._running: dict[str, str] = {}
        self._failed = 0
        self._seconds: list[float] = []
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(self._counts(), total=total, completed=done, status="")

    def __enter__(self) -> StudyDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, cell: Cell) -> None:
        """A child process runs the cell."""
        self._running[cell.folder_name] = cell.label
        self._update()
        if not self._console.is_terminal:
            self._line(f"started {cell.label} ({cell.folder_name})")

    def waits(self, cell: Cell) -> None:
        """Another process runs the cell."""
        self._line(f"waiting for another process: {cell.label} ({cell.folder_name})")

    def done(self, cell: Cell, seconds: float) -> None:
        """The cell has a result."""
        self._running.pop(cell.folder_name, None)
        self._done += 1
        if seconds > 0:
            self._seconds.append(seconds)
        self._update()
        self._line(f"done    {cell.label}, {spoken(seconds)}; {self._counts()}{self._left()}")

    def failed(self, cell: Cell, reason: str) -> None:
        """The cell ended without a result."""
        self._running.pop(cell.folder_name, None)
        self._failed += 1
        self._update()
        self._line(f"failed  {cell.label}: {reason}")

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._total} done, {len(self._running)} running{failed}"

    def _left(self) -> str:
        left = self._total - self._done - self._failed
        if not self._seconds or not left:
            return ""
        return f"; about {spoken(sum(self._seconds) / len(self._seconds) * left / self._jobs)} left"

    def _update(self) -> None:
        status = f"{self._left().removeprefix('; ')}  {', '.join(self._running.values())}".strip()
        self._progress.update(
            self._task, completed=self._done + self._failed, description=self._counts(), status=status
        )

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


def spoken(seconds: float) -> str:
    """A length of time in the two units that matter: `52 s`, `4 min 16 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
