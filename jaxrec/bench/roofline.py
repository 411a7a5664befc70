"""How near a variant comes to the least that its work can take on this machine.

A workload says by formula what has to be done at least: operations, and bytes that are moved even if every array that
an operation reads or writes is moved once. The ceilings are the fastest read of memory and the fastest matrix product
of the same run. No form can be faster than the larger of the two quotients, as long as its arrays outgrow the caches.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxrec.bench.bandwidth import PASSES, readers

_SIZES = {"full": (1 << 29, 2048), "small": (1 << 20, 64)}
"""Bytes that are read, and the side of the square matrices that are multiplied."""
_REPEATS = 3


@dataclasses.dataclass(frozen=True)
class Work:
    """What one unit of a variant (whatever its seconds are of) has to do at least."""

    operations: float
    bytes: float

    def times(self, count: float) -> Work:
        """So many of it."""
        return Work(self.operations * count, self.bytes * count)


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """The most that was reached, a second."""

    operations: float
    bytes: float

    def highest(self, other: Ceilings) -> Ceilings:
        """The higher of both: a machine that was busy at one time does not lower its limit."""
        return Ceilings(max(self.operations, other.operations), max(self.bytes, other.bytes))


def measure_ceilings(scale: Literal["small", "full"]) -> Ceilings:
    """The fastest of a few reads of much memory, and of a few float32 products. Touches the devices."""
    num_bytes, side = _SIZES[scale]
    read = max(
        PASSES * num_bytes / min(_seconds(call) for _ in range(_REPEATS)) for call in readers(num_bytes).values()
    )
    left = jnp.ones((side, side), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(left, left))
    spent = min(_seconds(lambda: jax.block_until_ready(product(left, left))) for _ in range(_REPEATS))
    return Ceilings(2.0 * side**3 / spent, read)


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rooflines(entry: dict[str, Any], ceilings: Ceilings) -> dict[str, dict[str, Any]]:
    """{variant: {"bound_seconds", "limit", "share"}} for each variant whose work the entry holds under "work".

    share: the bound over the median; above 1 where caches hold what the formula counts as moved.
    """
    found = {}
    for variant, work in entry.get("work", {}).items():
        by_memory, by_arithmetic = work["bytes"] / ceilings.bytes, work["operations"] / ceilings.operations
        bound = max(by_memory, by_arithmetic)
        limit = "memory" if by_memory >= by_arithmetic else "arithmetic"
        share = bound / entry["variants"][variant]["median"]
        found[variant] = {"bound_seconds": bound, "limit": limit, "share": share}
    return found


def work_entry(work: dict[str, Work]) -> dict[str, dict[str, float]]:
    """For a report."""
    return {variant: dataclasses.asdict(one) for variant, one in work.items()}
