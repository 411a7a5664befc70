"""What a compiled program costs by its text and its compiler's count: exact figures, however busy the machine."""

from __future__ import annotations

import re
import time
from typing import Any

import jax

from jaxrec.bench.collectives import collective_bytes

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?:\(.*?\)|\S+) ([a-z][\w\-]*)\(")
_RUN_BY = {
    "while": re.compile(r"(?:body|condition)=%?([\w.\-]+)"),
    "call": re.compile(r"to_apply=%?([\w.\-]+)"),
    "conditional": re.compile(r"(?:true_computation|false_computation)=%?([\w.\-]+)"),
    "async-start": re.compile(r"calls=%?([\w.\-]+)"),
}
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_BOOKKEEPING = ["parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier"]
_RUNS_OTHERS = ["while", "call", "conditional", "async-start", "async-update", "async-done"]
_NO_KERNEL = frozenset([*_BOOKKEEPING, *_RUNS_OTHERS, "partition-id", "replica-id"])


def compile_timed(jitted: Any, *arguments: Any) -> tuple[Any, dict[str, Any]]:
    """A jitted function compiled for its arguments (arrays or shapes), and `describe` of it with the seconds taken."""
    start = time.perf_counter()
    lowered = jitted.lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    seconds = {"trace_seconds": traced - start, "compile_seconds": time.perf_counter() - traced}
    return compiled, describe(compiled) | seconds


def describe(compiled: jax.stages.Compiled) -> dict[str, Any]:
    """Memory and collectives in bytes, kernels, and the compiler's count of operations and of bytes read or written.

    A loop counts once, whatever its number of turns, and what a library is called for (sparse products) not at all:
    where that matters a workload gives its work by formula (jaxrec.bench.roofline). None: the device does not say.
    """
    text, memory = compiled.as_text() or "", compiled.memory_analysis()
    counted = compiled.cost_analysis() or {}
    return {
        "temporary_bytes": None if memory is None else memory.temp_size_in_bytes,
        "argument_bytes": None if memory is None else memory.argument_size_in_bytes,
        "collective_bytes": sum(collective_bytes(text).values()),
        "kernels": kernel_count(text),
        "counted_operations": counted.get("flops"),
        "counted_bytes": counted.get("bytes accessed"),
    }


def kernel_count(program: str) -> int:
    """Fusions, calls into libraries and single operations that the program runs, each loop's body once."""
    computations: dict[str, list[str]] = {}
    entry = current = None
    for line in program.splitlines():
        head = _COMPUTATION.match(line)
        if head:
            current = head[2]
            computations[current] = []
            entry = current if head[1] else entry
        elif current is not None:
            computations[current].append(line)
    waiting, seen, kernels = [entry], set(), 0
    while waiting:
        name = waiting.pop()
        if name is None or name in seen or name not in computations:
            continue
        seen.add(name)
        for line in computations[name]:
            found = _INSTRUCTION.match(line)
            if not found:
                continue
            kind = found[1]
            kernels += kind not in _NO_KERNEL
            if kind in _RUN_BY:
                waiting += _RUN_BY[kind].findall(line)
                waiting += [part.strip(" %") for group in _BRANCHES.findall(line) for part in group.split(",")]
    return kernels
