"""The reverse chain of a conditional diffusion in one scan, against a loop of compiled steps and PyTorch."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.peer import Peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.nn.denoiser import time_embedding
from jaxrec.nn.diffusion import make_schedule, reverse_chain, reverse_step

DESCRIPTION = (
    "15 reverse steps of 1,024 conditioned vectors (d = 128, an MLP) in one scan; loop of steps, PyTorch eager"
)
OURS, LOOP, TORCH = "jaxrec", "a loop of compiled steps", "torch eager"
NUM_STEPS, CALLS = 15, 5
TOLERANCE = 1e-4


def run(settings: Settings) -> dict:
    """Seconds a chain; the results compared with each other."""
    arrays = workload(settings.scale)
    inputs = {name: jnp.asarray(values) for name, values in arrays.items()}
    chain, program = compile_timed(jax.jit(_chain), inputs)
    step = jax.jit(_step)

    def loop(inputs: dict[str, jax.Array]) -> jax.Array:
        state = inputs["start"]
        for index in range(NUM_STEPS, 0, -1):
            state = step(inputs, state, jnp.int32(index))
        return state

    results = {OURS: np.asarray(chain(inputs)), LOOP: np.asarray(loop(inputs))}
    variants: dict[str, Any] = {OURS: functools.partial(_repeat, chain, inputs)}
    variants[LOOP] = functools.partial(_repeat, loop, inputs)
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            schedule = make_schedule("linear", NUM_STEPS)
            saved: dict[str, Any] = arrays | {"keep": schedule.keep, "removal": schedule.removal}
            np.savez(folder / "workload.npz", **saved)
            peer = stack.enter_context(
                Peer(settings.torch_python, "torch_reverse_chain.py", str(folder / "workload.npz"))
            )
            peer.ask(do="result", path=str(folder / "result.npy"))
            results[TORCH] = np.load(folder / "result.npy")
            variants[TORCH] = lambda: peer.ask(do="chains", count=CALLS)["seconds"]
        times = interleave(variants, settings, per=dict.fromkeys(variants, CALLS))
    largest = float(np.abs(results[OURS]).max())
    errors = {name: float(np.abs(result - results[OURS]).max() / largest) for name, result in results.items()}
    checks = {"results_equal": max(errors.values()) <= TOLERANCE}
    faster = ratios(times, OURS)
    return {
        "unit": "seconds a chain",
        "variants": times,
        "programs": {OURS: program},
        "work": work_entry({OURS: chain_work(*arrays["start"].shape)}),
        "ratios": faster,
        "relative_errors": errors,
        "checks": checks,
    }


def workload(scale: str) -> dict[str, np.ndarray]:
    """Start and condition [B, d], the MLP's kernels [3 d, 4 d] and [4 d, d], embeddings of the steps [T, d]."""
    rows, width = (1024, 128) if scale == "full" else (16, 8)
    rng = np.random.default_rng(0)
    shapes = {
        "start": (rows, width),
        "condition": (rows, width),
        "kernel_in": (3 * width, 4 * width),
        "kernel_out": (4 * width, width),
    }
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["kernel_in"] /= np.float32(np.sqrt(3 * width))
    arrays["kernel_out"] /= np.float32(np.sqrt(4 * width))
    return arrays | {"time": np.asarray(time_embedding(jnp.arange(1, NUM_STEPS + 1), width))}


def chain_work(rows: int, width: int) -> Work:
    """The least of a chain: both products of every step; kernels and vectors are read once, the result is written."""
    kernels = 16.0 * width * width
    return Work(NUM_STEPS * 2.0 * rows * kernels, 4.0 * kernels + 12.0 * rows * width)


def _predict(inputs: dict[str, jax.Array], state: jax.Array, step: jax.Array) -> jax.Array:
    time = jnp.broadcast_to(inputs["time"][step - 1][None, :], state.shape)
    hidden = jnp.concatenate([state, inputs["condition"], time], axis=-1) @ inputs["kernel_in"]
    return jax.nn.gelu(hidden, approximate=True) @ inputs["kernel_out"]


def _chain(inputs: dict[str, jax.Array]) -> jax.Array:
    schedule = make_schedule("linear", NUM_STEPS)
    return reverse_chain(schedule, inputs["start"], functools.partial(_predict, inputs))


def _step(inputs: dict[str, jax.Array], state: jax.Array, step: jax.Array) -> jax.Array:
    return reverse_step(make_schedule("linear", NUM_STEPS), state, step, _predict(inputs, state, step))


def _repeat(call: Any, inputs: dict[str, jax.Array]) -> None:
    for _ in range(CALLS):
        jax.block_until_ready(call(inputs))
