"""Run the cells of a study as child processes: what is done is skipped, what stopped goes on, what fails is told."""

from __future__ import annotations

import collections
import dataclasses
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from jaxrec.config import to_json
from jaxrec.run_folder import write_json
from jaxrec.studies.cells import Cell
from jaxrec.studies.cores import has_accelerator, only, shares

_POLL_SECONDS = 0.1
_WAIT_SECONDS = 2.0


class Observer(Protocol):
    """Who is told what happens."""

    def started(self, cell: Cell) -> None:
        """A child process runs the cell."""
        ...

    def waits(self, cell: Cell) -> None:
        """Another process runs the cell; when it ends, the cell is looked at again."""
        ...

    def done(self, cell: Cell, seconds: float) -> None:
        """The cell has a result."""
        ...

    def failed(self, cell: Cell, reason: str) -> None:
        """The cell ended without a result."""
        ...


class Stop(Protocol):
    """Number of the signal that asks to stop, or None."""

    number: int | None


@dataclasses.dataclass
class _Job:
    cell: Cell
    process: subprocess.Popen
    slot: int
    started: float


Command = Callable[[pathlib.Path, pathlib.Path], list[str]]


def launch_command(experiment: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """What a user would type to run a recorded experiment in a folder."""
    return [sys.executable, "-m", "jaxrec.launch", "--config", str(experiment), "--workdir", str(folder)]


def is_done(runs: pathlib.Path, cell: Cell) -> bool:
    """Whether the cell has a result."""
    return (runs / cell.result_name / "result.json").is_file()


def run_cells(
    cells: Sequence[Cell],
    runs: pathlib.Path,
    jobs: int,
    observer: Observer,
    stop: Stop,
    command: Command = launch_command,
) -> dict[str, str]:
    """Run what is not done, `jobs` at once, until all is or `stop` has a number; then the children save and end.

    Beside each run folder stand NAME.json, its experiment, and NAME.log, what it said. Returns why cells failed, by
    the name of their folder.
    """
    runs.mkdir(parents=True, exist_ok=True)
    runner = _Runner(runs, jobs, observer, command, [cell for cell in cells if not is_done(runs, cell)])
    try:
        while runner.unfinished and stop.number is None:
            runner.start()
            time.sleep(_POLL_SECONDS)
            runner.look_at_running()
            runner.look_at_waiting()
    finally:
        runner.end()
    return runner.failures


class _Runner:
    """Cells that wait for a free slot, for another process, or run."""

    def __init__(
        self, runs: pathlib.Path, jobs: int, observer: Observer, command: Command, cells: Sequence[Cell]
    ) -> None:
        self.failures: dict[str, str] = {}
        self._runs, self._jobs, self._observer, self._command = runs, jobs, observer, command
        self._pending = collections.deque(cells)
        self._elsewhere: dict[str, tuple[Cell, float]] = {}
        self._running: list[_Job] = []
        self._cores = shares(jobs)
        self._free = list(range(jobs))[::-1]

    @property
    def unfinished(self) -> bool:
        """Whether any cell is neither done nor failed."""
        return bool(self._pending or self._elsewhere or self._running)

    def start(self) -> None:
        """A child for each free slot; a cell that another process runs is put aside."""
        while self._pending and self._free:
            cell = self._pending.popleft()
            if _is_locked(self._runs / cell.folder_name):
                self._observer.waits(cell)
                self._elsewhere[cell.folder_name] = cell, time.monotonic() + _WAIT_SECONDS
                continue
            slot = self._free.pop()
            with only(self._cores[slot]):
                process = self._spawn(cell)
            self._running.append(_Job(cell, process, slot, time.monotonic()))
            self._observer.started(cell)

    def look_at_running(self) -> None:
        """Take what has ended off its slot."""
        for job in [job for job in self._running if job.process.poll() is not None]:
            self._running.remove(job)
            self._free.append(job.slot)
            name = job.cell.folder_name
            if job.process.returncode == 0 and is_done(self._runs, job.cell):
                self._observer.done(job.cell, time.monotonic() - job.started)
                continue
            reason = _reason(job.process.returncode, self._runs / f"{name}.log")
            if reason.endswith("another process is running in it"):
                self._pending.append(job.cell)  # another study was faster: wait for it
            else:
                self.failures[name] = reason
                self._observer.failed(job.cell, reason)

    def look_at_waiting(self) -> None:
        """Take what another process has finished as done, and queue what it has left."""
        for name, (cell, again) in list(self._elsewhere.items()):
            if time.monotonic() < again:
                continue
            if _is_locked(self._runs / name):
                self._elsewhere[name] = cell, time.monotonic() + _WAIT_SECONDS
                continue
            del self._elsewhere[name]
            if is_done(self._runs, cell):
                self._observer.done(cell, 0.0)
            else:
                self._pending.append(cell)

    def end(self) -> None:
        """Ask the children to save and end, and wait for them; interrupted again, end them at once."""
        for job in self._running:
            job.process.send_signal(signal.SIGTERM)
        try:
            for job in self._running:
                job.process.wait()
        except KeyboardInterrupt:
            for job in self._running:
                job.process.kill()
                job.process.wait()
            raise

    def _spawn(self, cell: Cell) -> subprocess.Popen:
        """A child in a process group of its own, so that Ctrl-C reaches it once, from here."""
        experiment = self._runs / f"{cell.folder_name}.json"
        write_json(experiment, to_json(cell.experiment))
        environment = dict(os.environ)
        if self._jobs > 1 and has_accelerator():
            environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / self._jobs:.3f}")
        with (self._runs / f"{cell.folder_name}.log").open("a", encoding="utf-8") as log:
            log.write(f"== {cell.label}\n")
            log.flush()
            return subprocess.Popen(
                self._command(experiment, self._runs / cell.folder_name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )


def _is_locked(folder: pathlib.Path) -> bool:
    """Whether a process runs in the folder: a study that was killed leaves its children to finish."""
    try:
        with (folder / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _reason(status: int, log: pathlib.Path) -> str:
    """How it ended, and the last line that it wrote."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line and not line.startswith("== ")), "it said nothing")
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"{how}: {last.removeprefix('jaxrec: error: ')}"
