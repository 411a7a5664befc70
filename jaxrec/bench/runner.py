"""Interleaved timing: one repetition of every variant in turn, so that noise falls on all alike."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from jaxrec.bench.settings import Settings

Seconds = float


def interleave(
    variants: Mapping[str, Callable[[], Any]],
    settings: Settings,
    *,
    warmup: int = 1,
    per: Mapping[str, float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Times of every variant: {name: {"seconds": [...], "median": s, "min": s}}.

    A variant is called once a repetition and must return when its work is done (block_until_ready). Where it returns
    a float, that is taken as its time in seconds (a peer process measures itself). per: how many units of work one
    call does (steps in a scan, say), by which its time is divided.
    """
    seconds: dict[str, list[Seconds]] = {name: [] for name in variants}
    for repetition in range(-warmup, settings.repeats):
        for name, call in variants.items():
            start = time.perf_counter()
            own = call()
            spent = own if isinstance(own, float) else time.perf_counter() - start
            if repetition >= 0:
                seconds[name].append(spent / (per or {}).get(name, 1))
            print(f"  {name}: {spent:.4f} s{' (warm-up)' if repetition < 0 else ''}", file=sys.stderr, flush=True)
    return {
        name: {"seconds": times, "median": statistics.median(times), "min": min(times)}
        for name, times in seconds.items()
    }


def ratios(times: Mapping[str, Mapping[str, Any]], ours: str) -> dict[str, dict[str, float]]:
    """How many times faster `ours` is than each other variant: of the medians and of the minima."""
    own = times[ours]
    return {
        name: {"median": other["median"] / own["median"], "min": other["min"] / own["min"]}
        for name, other in times.items()
        if name != ours
    }
