"""One workload measured, and around it what every workload is measured by: ceilings and peak memory."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import jax

from jaxrec.bench.memory import begin_peak, peak_bytes
from jaxrec.bench.registry import Workload
from jaxrec.bench.roofline import measure_ceilings, rooflines
from jaxrec.bench.settings import Settings


def measure(workload: Workload, settings: Settings) -> dict[str, Any]:
    """The workload's entry with "ceilings", "roofline" and "peak_rss_bytes" (None where it cannot be told apart).

    The peak is of this process: peers in processes of their own are not in it.
    """
    # The same float32 as the peers', whose products have all their bits; an accelerator would take fewer.
    exactly = contextlib.nullcontext() if jax.default_backend() == "cpu" else jax.default_matmul_precision("highest")
    with exactly:
        before = measure_ceilings(settings.scale)
        begun = begin_peak()
        entry = workload.run(settings)
        peak = peak_bytes() if begun else None
        ceilings = before.highest(measure_ceilings(settings.scale))
    return entry | {
        "ceilings": dataclasses.asdict(ceilings),
        "roofline": rooflines(entry, ceilings),
        "peak_rss_bytes": peak,
    }
