"""Interactions beyond memory: 100 million of them prepared as shards and BPR-MF trained on them, inside 8 GB."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from jaxrec.bench.memory import peak_bytes
from jaxrec.bench.runner import interleave
from jaxrec.bench.settings import Settings
from jaxrec.errors import UserError

DESCRIPTION = "100 million interactions prepared as shards, and 200 steps of BPR-MF on them; goal: inside 8 GB"

GOAL_MEGABYTES = 8192.0
_ROWS_PER_FILE = 2_000_000


@dataclasses.dataclass(frozen=True)
class ShardsWorkload:
    """Interactions of a source with repeats, in files of Parquet, and what is trained on them."""

    rows: int = 100_000_000
    num_users: int = 1_000_000
    num_items: int = 200_000
    dim: int = 64
    batch_size: int = 2048
    steps: int = 200
    ranked_users: int = 2000


WORKLOADS = {
    "full": ShardsWorkload(),
    "small": ShardsWorkload(rows=20_000, num_users=300, num_items=200, dim=8, batch_size=64, steps=20, ranked_users=50),
}


def run(settings: Settings) -> dict:
    """Write the source, prepare it and train on it, each in a process of its own; their peaks of resident memory."""
    workload, reports = WORKLOADS[settings.scale], {}
    with tempfile.TemporaryDirectory() as folder:

        def stage(name: str) -> Callable[[], float]:
            def measure() -> float:
                reports[name] = _in_a_fresh_process(name, settings.scale, pathlib.Path(folder))
                return reports[name]["seconds"]

            return measure

        # Minutes each, and each stands on the one before: once, whatever was asked for.
        once = dataclasses.replace(settings, repeats=1)
        stages = {"source written": "write", "jaxrec prepare": "prepare", "jaxrec train": "train"}
        times = interleave({variant: stage(name) for variant, name in stages.items()}, once, warmup=0)
    peak = {name: report["peak_rss_mb"] for name, report in reports.items()}
    return {
        "rows": workload.rows,
        "variants": times,
        "peak_rss_mb": peak | {"largest": max(peak["prepare"], peak["train"])},
        "prepare": reports["prepare"],
        "train": reports["train"],
        "checks": {
            "prepare_under_8_gb": peak["prepare"] < GOAL_MEGABYTES,
            "train_under_8_gb": peak["train"] < GOAL_MEGABYTES,
            "every_step_was_made": reports["train"]["steps"] == workload.steps,
            "a_stream_that_starts_later_gives_the_same_batches": reports["train"]["resumed_equal"],
            "the_loss_falls": reports["train"]["last_loss"] < reports["train"]["first_loss"],
        },
    }


def _in_a_fresh_process(stage: str, scale: str, folder: pathlib.Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "jaxrec.bench.data_shards", stage, scale, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"bench data_shards: {stage} ended with {result.returncode}: {last[0]}")
    return json.loads(result.stdout.splitlines()[-1])


def write_source(workload: ShardsWorkload, folder: pathlib.Path) -> dict[str, Any]:
    """Parquet files of user, item, rating, timestamp: popular and rare items, some repeats, ids that are not dense."""
    import polars

    folder.mkdir()
    for number, first in enumerate(range(0, workload.rows, _ROWS_PER_FILE)):
        rng, rows = np.random.default_rng([0, number]), min(_ROWS_PER_FILE, workload.rows - first)
        users = (rng.random(rows) ** 2 * workload.num_users).astype(np.int64) * 7 + 1_000_003
        items = (rng.random(rows) ** 3 * workload.num_items).astype(np.int64) * 13 + 17
        columns = {
            "user": users,
            "item": items,
            "rating": rng.integers(1, 6, rows).astype(np.float32),
            "timestamp": rng.integers(1_500_000_000, 1_700_000_000, rows),
        }
        polars.DataFrame(columns).write_parquet(folder / f"{number:04d}.parquet")
    return {"megabytes": round(_megabytes(folder), 1)}


def prepare_source(folder: pathlib.Path) -> dict[str, Any]:
    """5-core, ratio split, shards."""
    from jaxrec.data.config import DataConfig, FilterConfig
    from jaxrec.data.shards.prepare import prepare_shards

    config = DataConfig(path=str(folder / "source"), filter=FilterConfig(user_core=5, item_core=5))
    prepare_shards(config, folder / "shards", lambda line: print(line, file=sys.stderr, flush=True))
    return {"megabytes": round(_megabytes(folder / "shards"), 1)}


def train_on_shards(workload: ShardsWorkload, folder: pathlib.Path) -> dict[str, Any]:
    """Steps of BPR-MF with item biases as the trainer makes them, a checkpoint, and a sample of users ranked."""
    import jax
    import jax.numpy as jnp

    from jaxrec.data.config import DataConfig, FilterConfig
    from jaxrec.data.prepared import load_dataset
    from jaxrec.eval.config import EvalConfig
    from jaxrec.eval.ranking import FullRanking
    from jaxrec.models.base import Context
    from jaxrec.models.bprmf import BPRMF, BPRMFConfig
    from jaxrec.train.checkpoint import Checkpoints
    from jaxrec.train.config import OptimizerConfig, TrainConfig
    from jaxrec.train.mesh import replicate
    from jaxrec.train.optimizer import make_optimizer
    from jaxrec.train.shard_input import make_shard_input
    from jaxrec.train.state import abstract_state, first_state

    started = time.perf_counter()
    config = DataConfig(path=str(folder / "shards"), filter=FilterConfig(user_core=5, item_core=5))
    dataset = load_dataset(config)
    opened = time.perf_counter() - started
    model = BPRMF(BPRMFConfig(dim=workload.dim, item_bias=True), dataset.num_users, dataset.num_items)
    train = TrainConfig(batch_size=workload.batch_size, optimizer=OptimizerConfig(learning_rate=0.01))
    optimizer = make_optimizer(train.optimizer, workload.steps)
    ctx = Context(item_counts=jnp.asarray(dataset.item_counts))
    abstract = abstract_state(model, optimizer, ctx, 0, (), None)
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    state = jax.jit(first_state, static_argnums=(0, 1, 3), out_shardings=placed)(model, optimizer, ctx, 0)
    data = make_shard_input(dataset, train, 0, print, model.config)
    call = data.compile(model, optimizer, 0, state, ctx, placed, lambda tree: replicate(tree, None))
    losses, done, started = [], 0, time.perf_counter()
    while done < workload.steps:
        state, progress = call(state, min(10, workload.steps - done))
        done += int(progress.steps)
        losses.append(float(progress.sums["loss"]) / int(progress.steps))
    trained = time.perf_counter() - started
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(done, state, {"stopping": {"best_step": done}}, done)
    ranking = FullRanking(dataset, "test", EvalConfig(max_users=workload.ranked_users))
    evaluation = ranking.evaluate(model, state.params, ctx)
    return {
        "steps": done,
        "training_pairs": len(dataset.train),
        "users": dataset.num_users,
        "items": dataset.num_items,
        "open_seconds": round(opened, 3),
        "step_seconds": trained / done,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "ranked_users": evaluation.num_users,
        "ndcg@10": evaluation.metrics["ndcg@10"],
        "resumed_equal": _resumes(data.blocks, workload.steps // 2),
    }


def _resumes(blocks: Any, step: int) -> bool:
    """Whether a stream that starts at a step gives the batch that one from the start has there."""
    for block in blocks.iterate(0):
        if block["first_step"] + block["num_steps"] > step:
            break
    later = next(blocks.iterate(step))
    names = ("user_ids", "item_ids", "negative_item_ids", "mask")
    return all(np.array_equal(block[name][step - block["first_step"]], later[name][0]) for name in names)


def _megabytes(folder: pathlib.Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def stage(name: str, scale: Literal["small", "full"], folder: pathlib.Path) -> dict[str, Any]:
    """One stage in this process: its report with seconds, processor seconds and peak memory in MB."""
    workload = WORKLOADS[scale]
    start, cpu = time.perf_counter(), time.process_time()
    found = {
        "write": lambda: write_source(workload, folder / "source"),
        "prepare": lambda: prepare_source(folder),
        "train": lambda: train_on_shards(workload, folder),
    }[name]()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return found | {
        "seconds": seconds,
        "cpu_seconds": round(cpu, 3),
        "peak_rss_mb": round(peak_bytes() / 1e6, 1),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(stage(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))) + "\n")  # type: ignore[arg-type]
