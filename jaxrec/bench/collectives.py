"""How much the devices of a mesh tell each other in one compiled program."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

# The compiler numbers what stands in long tuples: /*index=5*/.
_COMMENT = re.compile(r"/\*.*?\*/")
_COLLECTIVE = re.compile(
    r"= (\(?[^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_SHAPE = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_COUNTED = re.compile(r"replica_groups=\[\d+,(\d+)\]<=")
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\].*?\{([^}]*)\}")
_AXIS = re.compile(r"'(\w+)'=(\d+)")
_SUB_AXIS = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")


@dataclasses.dataclass(frozen=True)
class Collective:
    """payload: bytes of its result on one device. group: devices that take part, None where the text does not say."""

    kind: str
    payload: int
    group: int | None


def read_collective(line: str) -> Collective | None:
    """The collective in a line of a compiled program's text, if there is one."""
    line = _COMMENT.sub("", line)
    found = _COLLECTIVE.search(line)
    if found is None:
        return None
    payload = 0
    for name, bits, shape in _SHAPE.findall(found[1]):
        width = 1 if name == "pred" else int(bits) // 8
        payload += width * int(np.prod([int(part) for part in shape.split(",") if part] or [1]))
    return Collective(found[2], payload, _group(line))


def collective_bytes(program: str) -> dict[str, int]:
    """Bytes put out by each kind of collective in the text of a compiled program (`compiled.as_text()`).

    A collective inside a loop counts once: for a loop over training steps this is the figure of one step. One whose
    groups are of a single device tells nobody anything, and is left out.
    """
    total: dict[str, int] = {}
    for line in program.splitlines():
        found = read_collective(line)
        if found is not None and found.group != 1:
            total[found.kind] = total.get(found.kind, 0) + found.payload
    return total


def _group(line: str) -> int | None:
    """Devices of a group, in the forms {{0,1},{2,3}}, [2,2]<=[4] and mesh['x'=2,'y'=2] {'x'}."""
    if listed := _LISTED.search(line):
        return listed[1].count(",") + 1 if listed[1] else None
    if counted := _COUNTED.search(line):
        return int(counted[1])
    if mesh := _MESH.search(line):
        sizes = {name: int(size) for name, size in _AXIS.findall(mesh[1])}
        return math.prod(int(part) if part else sizes[name] for name, part in _SUB_AXIS.findall(mesh[2]))
    return None
