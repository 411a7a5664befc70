"""How many runs go on at once, and which cores each may use."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

_ACCELERATORS = ("nvidia[0-9]*", "accel[0-9]*", "kfd")


def default_jobs() -> int:
    """One on a machine with accelerators; else one for every two cores: small models use hardly more."""
    return 1 if has_accelerator() else max(1, len(available_cores()) // 2)


def has_accelerator() -> bool:
    """Whether a run would find an accelerator. Told from the machine, since asking JAX would take hold of it."""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        return False
    return any(True for pattern in _ACCELERATORS for _ in pathlib.Path("/dev").glob(pattern))


def available_cores() -> list[int]:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(jobs: int) -> list[set[int] | None]:
    """Cores of each of the jobs, all different where there are enough; None (all of them) for one job."""
    cores = available_cores()
    if jobs == 1 or not hasattr(os, "sched_setaffinity"):
        return [None] * jobs
    if jobs >= len(cores):
        return [{cores[job % len(cores)]} for job in range(jobs)]
    borders = [job * len(cores) // jobs for job in range(jobs + 1)]
    return [set(cores[borders[job] : borders[job + 1]]) for job in range(jobs)]


@contextlib.contextmanager
def only(cores: set[int] | None) -> Iterator[None]:
    """Within it this thread, and what it starts, runs on these cores alone."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
