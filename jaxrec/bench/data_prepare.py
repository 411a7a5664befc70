"""How long, and in how much memory, interactions are read, filtered (5-core) and split: 10 million of them in full."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from jaxrec.bench.memory import peak_bytes
from jaxrec.bench.runner import interleave
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

DESCRIPTION = "read, filter (5-core) and split 10 million CSV interactions; goal: under 60 s and 4 GB"

ROWS = {"full": 10_000_000, "small": 20_000}
_MAX_REPEATS = 3


def run(settings: Settings) -> dict:
    """Time a fresh process that prepares the file, without the cache; its peak of resident memory (MB) too."""
    rows = ROWS[settings.scale]
    # A repetition takes most of a minute and varies little; the file's pages are warm after writing it.
    settings = Settings(min(settings.repeats, _MAX_REPEATS), settings.torch_python, settings.scale)
    reports: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "interactions.csv"
        write_interactions(path, rows)
        megabytes = path.stat().st_size / 1e6

        def prepare() -> float:
            reports.append(_in_a_fresh_process(path))
            return reports[-1]["seconds"]

        times = interleave({"jaxrec": prepare}, settings, warmup=0)
    peak = max(report["peak_rss_mb"] for report in reports)
    return {
        "rows": rows,
        "file_mb": round(megabytes, 1),
        "variants": times,
        "seconds": times["jaxrec"]["median"],
        # Of all cores together: what the work costs, however busy the machine is.
        "cpu_seconds": min(report["cpu_seconds"] for report in reports),
        "peak_rss_mb": peak,
        "interactions_after_filter": reports[-1]["interactions"],
        "checks": {},
    }


def write_interactions(path: pathlib.Path, rows: int, seed: int = 0) -> None:
    """A CSV of user,item,rating,timestamp with popular and rare items, some repeats, and ids that are not dense."""
    import polars

    rng = np.random.default_rng(seed)
    num_users, num_items = max(rows // 10, 10), max(rows // 25, 10)
    # Powers of uniform numbers: many users and items fall under a 5-core, so that it takes several rounds.
    users = (rng.random(rows) ** 3 * num_users).astype(np.int64) * 7 + 1_000_003
    items = (rng.random(rows) ** 4 * num_items).astype(np.int64) * 13 + 17
    polars.DataFrame(
        {
            "user": users,
            "item": items,
            "rating": rng.integers(1, 6, rows).astype(np.float32),
            "timestamp": rng.integers(1_500_000_000, 1_700_000_000, rows),
        }
    ).write_csv(path)


def _in_a_fresh_process(path: pathlib.Path) -> dict:
    result = subprocess.run(
        [sys.executable, "-m", "jaxrec.bench.data_prepare", str(path)], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"bench data_prepare: the process ended with {result.returncode}: {last[0]}")
    return json.loads(result.stdout)


def prepare_once(path: pathlib.Path) -> dict:
    """Read, filter and split the file in this process: wall and processor seconds, peak memory in MB, rows kept."""
    from jaxrec.data.config import DataConfig, FilterConfig
    from jaxrec.data.filters import apply_filters
    from jaxrec.data.readers import read
    from jaxrec.data.splits import split

    start, cpu = time.perf_counter(), time.process_time()
    config = DataConfig(path=str(path), filter=FilterConfig(user_core=5, item_core=5))
    interactions, _ = apply_filters(read(config, path).interactions, config.filter)
    parts = split(interactions, config)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": round(cpu, 3),
        "peak_rss_mb": round(peak_bytes() / 1e6, 1),
        "interactions": sum(len(part) for part in parts),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(prepare_once(pathlib.Path(sys.argv[1]))) + "\n")
