"""Capsule routing, forward and backward, by each of the three maps of votes, against PyTorch."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.peer import Peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.nn.capsules import Routed, position_votes, route, route_items

DESCRIPTION = "3 iterations of 256 users, 50 items, d = 64, 4 capsules, forward and backward, three maps; PyTorch eager"
CALLS = 20
TOLERANCE = 1e-3
"""Relative; an item that lies between capsules goes by the last digits, and softmax after softmax enlarges them."""
MAPS = ("shared", "capsule", "position")
OURS = {f"jaxrec, {name} map": name for name in MAPS}
TORCH = {f"torch votes, {name} map": name for name in MAPS} | {"torch without votes, capsule map": "capsule"}
"""What is measured, and by which map; votes: each item is mapped to each capsule, then routed, as papers' code does."""


def run(settings: Settings) -> dict:
    """Seconds a gradient; losses and gradients of all variants of a map compared."""
    arrays = workload(settings.scale)
    inputs = {name: jnp.asarray(values) for name, values in arrays.items()}
    programs: dict[str, dict[str, Any]] = {}
    variants: dict[str, Callable[[], Any]] = {}
    results: dict[str, tuple[np.ndarray, ...]] = {}
    for variant, name in OURS.items():
        parts = {"items": inputs["items"], "kernel": inputs[name]}, inputs["logits"]
        call, programs[variant] = compile_timed(jax.jit(jax.value_and_grad(functools.partial(_loss, name))), *parts)
        loss, gradients = call(*parts)
        results[variant] = np.asarray(loss), np.asarray(gradients["items"]), np.asarray(gradients["kernel"])
        variants[variant] = functools.partial(_repeat, call, parts)
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            given: dict[str, Any] = arrays
            np.savez(folder / "workload.npz", **given)
            arguments = "torch_capsule_routing.py", str(folder / "workload.npz")
            peer = stack.enter_context(Peer(settings.torch_python, *arguments))
            for variant, name in TORCH.items():
                question = {"map": name, "votes": "without" not in variant}
                peer.ask(do="result", path=str(folder / "result.npz"), **question)
                with np.load(folder / "result.npz") as found:
                    results[variant] = tuple(found[part] for part in ("loss", "items", "kernel"))
                variants[variant] = lambda question=question: peer.ask(do="calls", count=CALLS, **question)["seconds"]
        times = interleave(variants, settings, per=dict.fromkeys(variants, CALLS))
    errors, faster = {}, {}
    for variant, name in TORCH.items():
        own = f"jaxrec, {name} map"
        if variant in times:
            faster |= ratios({own: times[own], variant: times[variant]}, own)
            errors[variant] = max(_difference(a, b) for a, b in zip(results[variant], results[own], strict=True))
    checks = {"results_equal": max(errors.values(), default=0.0) <= TOLERANCE}
    return {
        "unit": "seconds a gradient",
        "variants": times,
        "programs": programs,
        "ratios": faster,
        "relative_errors": errors,
        "checks": checks,
    }


def workload(scale: str) -> dict[str, np.ndarray]:
    """Items [B, L, D], first logits [B, L, K], and a kernel for each map: [D, D], [K, D, D], [L, K, D, D]."""
    users, length, dim, num_capsules = (256, 50, 64, 4) if scale == "full" else (4, 5, 6, 3)
    rng = np.random.default_rng(0)
    shapes = {"shared": (), "capsule": (num_capsules,), "position": (length, num_capsules)}
    arrays = {name: rng.normal(0, dim**-0.5, (*shape, dim, dim)) for name, shape in shapes.items()}
    arrays["items"] = rng.normal(size=(users, length, dim))
    arrays["logits"] = rng.normal(size=(users, length, num_capsules))
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def _loss(name: str, inputs: dict[str, jax.Array], logits: jax.Array) -> jax.Array:
    items, kernel = inputs["items"], inputs["kernel"]
    mask = jnp.ones(items.shape[:2], bool)
    routed: Routed
    if name == "position":
        routed = route(position_votes(items, kernel), mask, logits)
    else:
        routed = route_items(items, kernel, mask, logits)
    return (routed.capsules**2).sum()


def _repeat(call: Any, parts: tuple[Any, ...]) -> None:
    for _ in range(CALLS):
        jax.block_until_ready(call(*parts))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())
