"""From the start of a process to the first SASRec step done: with an empty compilation cache, and with a full one."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

DESCRIPTION = "compiling a SASRec step (Beauty's size) in a process of its own: warm compilation cache against cold"
WARM, COLD = "jaxrec, warm cache", "cold cache"
TRACE, FIRST_STEP = "trace_seconds", "first_step_seconds"


def run(settings: Settings) -> dict:
    """Seconds of compiling; of tracing, which no cache saves; from a process's start to its first step done."""
    found: dict[str, list[dict[str, float]]] = {COLD: [], WARM: []}
    with tempfile.TemporaryDirectory() as folder:
        caches: list[pathlib.Path] = []

        def cold() -> float:
            caches.append(pathlib.Path(folder) / f"cache{len(caches)}")  # a new one each time, which the warm one reads
            return step(COLD)

        def step(name: str) -> float:
            found[name].append(_in_a_fresh_process(caches[-1], settings.scale))
            return found[name][-1]["compile_seconds"]

        times = interleave({COLD: cold, WARM: lambda: step(WARM)}, settings, warmup=0)
    return {
        "unit": "seconds of compiling",
        "variants": times,
        "ratios": ratios(times, WARM),
        **{key: {name: _times(runs, key) for name, runs in found.items()} for key in (TRACE, FIRST_STEP)},
        "checks": {"same loss": len({one["loss"] for runs in found.values() for one in runs}) == 1},
    }


def _times(runs: list[dict[str, float]], key: str) -> dict[str, Any]:
    seconds = [one[key] for one in runs]
    return {"seconds": seconds, "median": statistics.median(seconds), "min": min(seconds)}


def _in_a_fresh_process(cache: pathlib.Path, scale: str) -> dict[str, float]:
    arguments = ["-m", "jaxrec.bench.compile_cache", str(cache), scale, repr(time.time())]
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"bench compile_cache: the process ended with {result.returncode}: {last[0]}")
    return json.loads(result.stdout)


def first_step(cache: pathlib.Path, scale: str, started: float) -> dict[str, float]:
    """In this process: seconds of tracing and of compiling a step, seconds since `started` (time.time()), its loss."""
    import jax

    from jaxrec.bench.program import compile_timed
    from jaxrec.bench.sasrec_step import SASRecCase, workload_of
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache(cache)
    case = SASRecCase(workload_of("small" if scale == "small" else "full"))
    step, *arguments = case.one_step()
    compiled, program = compile_timed(step, *arguments)
    _, parts = jax.block_until_ready(compiled(*arguments))
    return {
        TRACE: program["trace_seconds"],
        "compile_seconds": program["compile_seconds"],
        FIRST_STEP: time.time() - started,
        "loss": float(parts["loss"]),
    }


if __name__ == "__main__":
    report = first_step(pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
    sys.stdout.write(json.dumps(report) + "\n")
