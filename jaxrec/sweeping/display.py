"""What a user sees while a sweep runs: a bar over all trials on a terminal, a line for each trial everywhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jaxrec.train.display import TrainingDisplay


class SweepDisplay:
    """Progress over the trials of one sweep."""

    def __init__(self, console: Console, total: int, monitor: str) -> None:
        self._console, self._total, self._monitor = console, total, monitor
        self._started, self._durations = time.monotonic(), list[float]()
        self._done, self._best = 0, "none yet"
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=float(total), status="", left="")

    def __enter__(self) -> SweepDisplay:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._progress.stop()

    def start(self, done: int, settings: str, best: str) -> None:
        """A trial begins after so many done; settings and the best one so far in a few words."""
        self._done, self._best, self._started = done, best, time.monotonic()
        which = f"trial {done + 1} of {self._total}"
        self._line(f"{which}: {settings}")
        self._progress.update(self._task, completed=done, description=which, status="compiling")

    def training(self, share: float, status: str) -> None:
        """How much of the trial's epochs is done, and where it stands."""
        self._progress.update(
            self._task,
            completed=self._done + min(share, 1.0),
            status=f"{status}  best {self._monitor} {self._best}",
            left=self.time_left(share),
        )

    def end(self, what: str, counts: bool = True) -> None:
        """A trial has ended; counts: its time tells how long others will take."""
        if counts:
            self._durations.append(time.monotonic() - self._started)
        self._done += 1
        left = self.time_left(0.0)
        self._line(f"  {what}{'; ' + left if left else ''}")

    def time_left(self, share: float) -> str:
        """An estimate from the trials of this process so far; empty where there is none."""
        remaining = self._total - self._done - share
        if not self._durations or remaining <= 0:
            return ""
        seconds = remaining * sum(self._durations) / len(self._durations)
        if seconds < 90:
            return f"about {seconds:.0f} s left"
        return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class TrialDisplay(TrainingDisplay):
    """The training loop's display, told to the sweep's."""

    def __init__(self, sweep: SweepDisplay, epochs: int) -> None:
        self._sweep, self._all_epochs = sweep, epochs
        self._value = ""

    def __enter__(self) -> TrialDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        """The sweep's bar goes on."""

    def train(self, step: int, epoch: int, parts: dict[str, float], examples_per_second: float) -> None:
        """The epoch that is being trained."""
        self._sweep.training((epoch - 1) / self._all_epochs, f"epoch {epoch}/{self._all_epochs}{self._value}")

    def evaluation(self, epoch: int, monitor: str, value: float, best: float, since_best: int, patience: int) -> None:
        """The monitored metric of one validation."""
        self._value = f"  now {value:.4f}"
        self._sweep.training(epoch / self._all_epochs, f"epoch {epoch}/{self._all_epochs}{self._value}")
