"""How much the devices of a mesh tell each other in one compiled program."""

from __future__ import annotations

import re

import numpy as np

_COLLECTIVE = re.compile(
    r"= (\(?[^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
_SHAPE = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")


def collective_bytes(program: str) -> dict[str, int]:
    """Bytes put out by each kind of collective in the text of a compiled program (`compiled.as_text()`).

    A collective inside a loop counts once: for a loop over training steps this is the figure of one step.
    """
    total: dict[str, int] = {}
    for output, kind in _COLLECTIVE.findall(program):
        for name, bits, shape in _SHAPE.findall(output):
            width = 1 if name == "pred" else int(bits) // 8
            size = int(np.prod([int(part) for part in shape.split(",") if part] or [1]))
            total[kind] = total.get(kind, 0) + width * size
    return total
