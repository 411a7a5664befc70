"""Two hundred small steps of BPR-MF: one compiled scan, a loop of compiled steps, and PyTorch eager; same tables."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.bench.peer import Peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.data.batch import Batch
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import make_update

DESCRIPTION = "200 steps of BPR-MF (MovieLens-1M's tables, batch 256, SGD): scan, loop of steps, PyTorch eager"
OURS, LOOP, TORCH = "jaxrec scan", "a loop of compiled steps", "torch eager"
TOLERANCE = 1e-5
LEARNING_RATE = 0.05


@dataclasses.dataclass(frozen=True)
class MFWorkload:
    """Sizes of MovieLens-1M, and how many steps of what size."""

    num_users: int = 6040
    num_items: int = 3706
    dim: int = 64
    batch_size: int = 256
    num_steps: int = 200

    @property
    def work(self) -> Work:
        """The least of all steps: scores and gradients of a batch's rows, which are read and written."""
        entries = self.num_steps * 3.0 * self.batch_size * self.dim
        return Work(6 * entries, 8 * entries)


WORKLOADS = {"full": MFWorkload(), "small": MFWorkload(60, 40, 8, 16, 20)}


def run(settings: Settings) -> dict:
    """Seconds for all steps, batches given; the tables after them compared."""
    workload = WORKLOADS[settings.scale]
    model = BPRMF(BPRMFConfig(dim=workload.dim, regularization=0.0), workload.num_users, workload.num_items)
    optimizer = optax.sgd(LEARNING_RATE)
    first = jax.jit(lambda: first_state(model, optimizer, Context(), 0))()
    batches = make_batches(workload)
    update = make_update(model, optimizer, 0)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
        state, parts = update(state, batch, Context())
        return state, parts["loss"]

    scan, program = compile_timed(jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)), first, batches)
    one = jax.jit(step)
    split = [jax.tree.map(lambda leaf, index=index: leaf[index], batches) for index in range(workload.num_steps)]

    def loop() -> TrainState:
        state = first
        for batch in split:
            state, _ = one(state, batch)
        return jax.block_until_ready(state)

    calls: dict[str, Callable[[], TrainState]] = {
        OURS: lambda: jax.block_until_ready(scan(first, batches))[0],
        LOOP: loop,
    }
    results = {name: _tables(call().params) for name, call in calls.items()}
    variants: dict[str, Callable[[], Any]] = {**calls}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            users, items = (np.asarray(first.params[name]["embedding"]) for name in ("users", "items"))
            triples = np.stack([batches[key] for key in ("user_ids", "item_ids", "negative_item_ids")], axis=1)
            np.savez(folder / "workload.npz", users=users, items=items, triples=triples, learning_rate=LEARNING_RATE)
            peer = stack.enter_context(Peer(settings.torch_python, "torch_mf.py", str(folder / "workload.npz")))
            peer.ask(do="result", path=str(folder / "result.npz"))
            with np.load(folder / "result.npz") as found:
                results[TORCH] = np.concatenate([found["users"], found["items"]])
            variants[TORCH] = lambda: peer.ask(do="steps")["seconds"]
        times = interleave(variants, settings)
    largest = float(np.abs(results[OURS]).max())
    errors = {name: float(np.abs(found - results[OURS]).max() / largest) for name, found in results.items()}
    return {
        "unit": f"seconds for {workload.num_steps} steps",
        "variants": times,
        "work": work_entry({OURS: workload.work}),
        "ratios": ratios(times, OURS),
        "programs": {OURS: program},
        "relative_errors": errors,
        "checks": {"tables_equal": max(errors.values()) <= TOLERANCE},
    }


def make_batches(workload: MFWorkload) -> Batch:
    """Triples drawn from whole tables, [num_steps, B] each."""
    rng = np.random.default_rng(0)
    shape = workload.num_steps, workload.batch_size
    return {
        "user_ids": jnp.asarray(rng.integers(0, workload.num_users, shape), jnp.int32),
        "item_ids": jnp.asarray(rng.integers(0, workload.num_items, shape), jnp.int32),
        "negative_item_ids": jnp.asarray(rng.integers(0, workload.num_items, shape), jnp.int32),
        "mask": jnp.ones(shape, bool),
    }


def _tables(params: Any) -> np.ndarray:
    return np.concatenate([params[name]["embedding"] for name in ("users", "items")])
