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
from collections.abc import Sequence
from typing import Any, Protocol

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


def is_done(runs: pathlib.Path, cell: Cell) -> bool:
    """Whether the cell has a result."""
    return (runs / cell.folder_name / "result.json").is_file()


def run_cells(cells: Sequence[Cell], runs: pathlib.Path, jobs: int, observer: Observer, stop: Stop) -> dict[str, str]:
    """Run what is not done, `jobs` at once, until all is or `stop` has a number; then the children save and end.

    Beside each run folder stand NAME.json, its experiment, and NAME.log, what it said. Returns why cells failed, by
    the name of their folder.
    """
    runs.mkdir(parents=True, exist_ok=True)
    pending = collections.deque(cell for cell in cells if not is_done(runs, cell))
    waiting: dict[str, tuple[Cell, float]] = {}
    running: list[_Job] = []
    failures: dict[str, str] = {}
    cores = shares(jobs)
    free = list(range(jobs))[::-1]
    try:
        while (pending or waiting or running) and stop.number is None:
            while pending and free:
                cell = pending.popleft()
                if _is_locked(runs / cell.folder_name):
                    observer.waits(cell)
                    waiting[cell.folder_name] = cell, time.monotonic() + _WAIT_SECONDS
                    continue
                slot = free.pop()
                with only(cores[slot]):
                    process = _start(cell, runs, jobs)
                running.append(_Job(cell, process, slot, time.monotonic()))
                observer.started(cell)
            time.sleep(_POLL_SECONDS)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                free.append(job.slot)
                name = job.cell.folder_name
                if job.process.returncode == 0 and is_done(runs, job.cell):
                    observer.done(job.cell, time.monotonic() - job.started)
                    continue
                reason = _reason(job.process.returncode, runs / f"{name}.log")
                if reason.endswith("another process is running in it"):
                    pending.append(job.cell)  # another study was faster: wait for it
                else:
                    failures[name] = reason
                    observer.failed(job.cell, reason)
            for name, (cell, again) in list(waiting.items()):
                if time.monotonic() < again:
                    continue
                if _is_locked(runs / name):
                    waiting[name] = cell, time.monotonic() + _WAIT_SECONDS
                    continue
                del waiting[name]
                if is_done(runs, cell):
                    observer.done(cell, 0.0)
                else:
                    pending.append(cell)
    finally:
        _end(running)
    return failures


def _start(cell: Cell, runs: pathlib.Path, jobs: int) -> subprocess.Popen:
    """The command that a user would type; in a process group of its own, so that Ctrl-C reaches it once, from us."""
    experiment = runs / f"{cell.folder_name}.json"
    write_json(experiment, to_json(cell.experiment))
    folder = runs / cell.folder_name
    command = [sys.executable, "-m", "jaxrec.launch", "--config", str(experiment), "--workdir", str(folder)]
    environment: dict[str, Any] = dict(os.environ)
    if jobs > 1 and has_accelerator():
        environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.3f}")
    with (runs / f"{cell.folder_name}.log").open("a", encoding="utf-8") as log:
        log.write(f"== {cell.label}\n")
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _end(running: Sequence[_Job]) -> None:
    """Ask the children to save and end, and wait for them; interrupted again, end them at once."""
    for job in running:
        job.process.send_signal(signal.SIGTERM)
    try:
        for job in running:
            job.process.wait()
    except KeyboardInterrupt:
        for job in running:
            job.process.kill()
            job.process.wait()
        raise


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
