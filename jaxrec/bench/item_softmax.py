"""The softmax loss over all items, forward and backward: a large catalogue and one of Amazon Beauty's size."""

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

from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.nn.item_softmax import item_softmax_loss

DESCRIPTION = "softmax loss over 618,529 items (1,024 rows) and 12,101 (2,048 rows) against the plain forms"
OURS, PLAIN, TORCH = "jaxrec", "plain JAX", "torch cross_entropy"
TOLERANCE = 1e-5
COMPARED = 4096
"""Rows of the table's gradient that are compared with the peer's."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One size; run_plain: whether the plain JAX form is timed, or only compiled for its memory."""

    num_items: int
    num_rows: int
    dim: int = 64
    run_plain: bool = True

    @property
    def work(self) -> Work:
        """The least: scores, and by them the gradients of rows and table; the table read and its gradient written."""
        return Work(6.0 * self.num_rows * self.num_items * self.dim, 8.0 * self.num_items * self.dim)

    @property
    def name(self) -> str:
        """As variants are named."""
        return f"{self.num_items:,} items"


CASES = {
    "full": (Case(618_529, 1024, run_plain=False), Case(12_101, 2048)),
    "small": (Case(1009, 32, dim=8, run_plain=False), Case(211, 64, dim=8)),
}


def run(settings: Settings) -> dict:
    """Seconds a loss and gradient; temporary memory of the compiled programs; values and gradients compared."""
    variants: dict[str, Callable[[], Any]] = {}
    checks: dict[str, bool] = {}
    programs: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        for case in CASES[settings.scale]:
            _prepare(case, settings, stack, variants, checks, programs)
        times = interleave(variants, settings)
    big = CASES[settings.scale][0].name
    smaller = programs[f"{PLAIN}, {big}"]["temporary_bytes"] / programs[f"{OURS}, {big}"]["temporary_bytes"]
    by_case: dict[str, dict[str, float]] = {}
    for case in CASES[settings.scale]:
        of_case = {name: found for name, found in times.items() if name.endswith(case.name)}
        by_case |= ratios(of_case, f"{OURS}, {case.name}")
    return {
        "unit": "seconds a loss and gradient",
        "variants": times,
        "ratios": by_case,
        "programs": programs,
        "work": work_entry({f"{OURS}, {case.name}": case.work for case in CASES[settings.scale]}),
        "memory_ratio": smaller,
        "checks": checks,
    }


def _prepare(
    case: Case,
    settings: Settings,
    stack: contextlib.ExitStack,
    variants: dict[str, Callable[[], Any]],
    checks: dict[str, bool],
    programs: dict[str, dict[str, Any]],
) -> None:
    """Compile a case, compare its results, and add its variants."""
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(0, 1, (case.num_rows, case.dim)), jnp.float32)
    table = jnp.asarray(rng.normal(0, 0.05, (case.num_items, case.dim)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, case.num_items, case.num_rows), jnp.int32)
    arguments = hidden, table, targets
    compiled = {
        name: compile_timed(jax.jit(jax.value_and_grad(form, (0, 1))), *arguments)
        for name, form in ((OURS, _ours), (PLAIN, _plain))
    }
    programs |= {f"{name}, {case.name}": costs for name, (_, costs) in compiled.items()}
    loss, gradients = compiled[OURS][0](*arguments)
    expected = {}
    if case.run_plain:
        expected[PLAIN] = compiled[PLAIN][0](*arguments)
    for name in (OURS, PLAIN) if case.run_plain else (OURS,):
        variants[f"{name}, {case.name}"] = lambda name=name: jax.block_until_ready(compiled[name][0](*arguments))
    if settings.torch_python is not None:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        named = zip(("hidden", "table", "targets"), map(np.asarray, arguments), strict=True)
        np.savez(folder / "case.npz", **dict(named))
        peer = stack.enter_context(
            device_peer(settings.torch_python, "torch_item_softmax.py", str(folder / "case.npz"))
        )
        answer = peer.ask(save=str(folder / "gradients.npz"), rows=COMPARED)
        with np.load(folder / "gradients.npz") as found:
            expected[TORCH] = answer["loss"], (found["hidden"], found["table"])
        variants[f"{TORCH}, {case.name}"] = lambda: peer.ask()["seconds"]
    for name, (value, (by_hidden, by_table)) in expected.items():
        pairs = (loss, value), (gradients[0], by_hidden), (gradients[1][:COMPARED], by_table[:COMPARED])
        checks[f"equal to {name}, {case.name}"] = all(_close(left, right) for left, right in pairs)


def _close(left: Any, right: Any) -> bool:
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return bool(np.abs(left - right).max() <= TOLERANCE * np.abs(right).max())


def _ours(hidden: jax.Array, table: jax.Array, targets: jax.Array) -> jax.Array:
    return item_softmax_loss(hidden, table, targets, jnp.ones(targets.shape, bool))


def _plain(hidden: jax.Array, table: jax.Array, targets: jax.Array) -> jax.Array:
    """All scores at once, differentiated by JAX."""
    scores = hidden @ table.T
    own = jnp.take_along_axis(scores, targets[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(scores, axis=1) - own).mean()
