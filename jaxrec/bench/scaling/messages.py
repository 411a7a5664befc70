"""What the devices tell each other in one run of a compiled program, each loop as often as it turns."""

from __future__ import annotations

import collections
import dataclasses
import re

from jaxrec.bench.collectives import Collective, read_collective

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_WHILE = re.compile(r"\bwhile\(.*?body=%?([\w.\-]+)")
_TURNS = re.compile(r'known_trip_count":\s*\{"n":"?(\d+)')
_CALLED = re.compile(r"(?:to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Message:
    """A collective of a program among several devices, and how often it runs."""

    collective: Collective
    times: int

    @property
    def payload(self) -> int:
        """Bytes of all its results on one device."""
        return self.collective.payload * self.times


def messages(program: str) -> list[Message]:
    """The collectives in the text of a compiled program (`compiled.as_text()`), in the order in which they are found.

    A loop whose turns the compiler knows, such as one over layers, counts each turn; one whose turns are an argument,
    such as that over training steps, counts one. Of a condition all branches count.
    """
    bodies: dict[str, list[str]] = collections.defaultdict(list)
    entry = current = None
    for line in program.splitlines():
        if head := _HEAD.match(line):
            current = head[2]
            entry = current if head[1] else entry
        elif current is not None:
            bodies[current].append(line)
    found: list[Message] = []
    waiting = [] if entry is None else [(entry, 1)]
    while waiting:
        name, times = waiting.pop()
        for line in bodies[name]:
            if collective := read_collective(line):
                if collective.group != 1:
                    found.append(Message(collective, times))
            elif loop := _WHILE.search(line):
                turns = _TURNS.search(line)
                waiting.append((loop[1], times * (int(turns[1]) if turns else 1)))
            else:
                called = _CALLED.findall(line)
                called += [part.strip(" %") for group in _BRANCHES.findall(line) for part in group.split(",")]
                waiting += [(one, times) for one in called]
    return found


def payload_bytes(program: str) -> int:
    """The sum over all messages of what one device gets out of them."""
    return sum(message.payload for message in messages(program))
