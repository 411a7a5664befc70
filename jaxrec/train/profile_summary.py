"""Which operations of a trace took longest: a first answer that needs no viewer."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

_ROWS = 40


@dataclasses.dataclass
class OperationTime:
    """One operation of a compiled program in a trace. seconds: its own time, without the operations inside it."""

    program: str
    operation: str
    calls: int = 0
    seconds: float = 0.0


def operation_times(trace: Any) -> list[OperationTime]:
    """Own time of every operation, longest first, summed over devices. trace: jax.profiler.ProfileData.

    Operations on one line of a trace lie beside or inside each other (a loop holds its body), so the time of one is
    what those directly inside it leave.
    """
    found: dict[tuple[str, str], OperationTime] = {}
    for plane in trace.planes:
        for line in plane.lines:
            for program, operation, seconds in _own_times(line.events):
                one = found.setdefault((program, operation), OperationTime(program, operation))
                one.calls += 1
                one.seconds += seconds
    return sorted(found.values(), key=lambda one: (-one.seconds, one.program, one.operation))


def _own_times(events: Iterable[Any]) -> Iterable[tuple[str, str, float]]:
    operations = []
    for event in events:
        stats = dict(event.stats)
        if "hlo_op" in stats:
            names = (str(stats.get("hlo_module", "")), str(stats["hlo_op"]))
            operations.append((event.start_ns, -event.duration_ns, names))
    operations.sort()
    own: list[float] = []
    open_until: list[tuple[float, int]] = []  # (end, place in own) of the operations that hold the next one
    for place, (start, negative_duration, _) in enumerate(operations):
        duration = -negative_duration
        while open_until and open_until[-1][0] <= start:
            open_until.pop()
        if open_until:
            own[open_until[-1][1]] -= duration
        own.append(duration)
        open_until.append((start + duration, place))
    return [(*names, max(own[place], 0) / 1e9) for place, (_, _, names) in enumerate(operations)]


def summary_text(times: list[OperationTime]) -> str:
    """A table of the longest operations."""
    total = sum(one.seconds for one in times)
    lines = [f"{'share':>6} {'ms':>10} {'calls':>7}  operation (program)"]
    for one in times[:_ROWS]:
        share = f"{one.seconds / total:6.1%}" if total else "     -"
        lines.append(f"{share} {1e3 * one.seconds:10.3f} {one.calls:7d}  {one.operation} ({one.program})")
    rest = times[_ROWS:]
    if rest:
        lines.append(f"{len(rest)} shorter ones, {1e3 * sum(one.seconds for one in rest):.3f} ms")
    lines.append(f"all: {1e3 * total:.3f} ms of {len(times)} operations, summed over devices")
    return "\n".join(lines) + "\n"


def write_summary(folder: pathlib.Path) -> pathlib.Path:
    """Write summary.txt beside the newest trace below a folder, and return its path."""
    import jax

    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime_ns)
    times = operation_times(jax.profiler.ProfileData.from_file(str(newest)))
    path = folder / "summary.txt"
    path.write_text(summary_text(times))
    return path
