"""The peak of this process's resident memory, a workload at a time where the system can begin anew."""

from __future__ import annotations

import pathlib
import resource
import sys

_STATUS, _RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


def begin_peak() -> bool:
    """Count the peak from now on; False where the system keeps the one of the whole process."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Peak resident memory. On Linux getrusage counts the parent's before exec too, VmHWM does not."""
    if _STATUS.is_file():
        line = next(line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
