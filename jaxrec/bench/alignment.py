"""LMMRec's two alignment losses at the paper's batch, forward and backward: exponentials taken once or four times."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.program import compile_timed
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.nn.alignment import candidates, coordination, correspondence, cosines
from jaxrec.nn.contrast import comparable, info_nce, log_softmax, normalize, own_candidate, similarities
from jaxrec.nn.losses import masked_mean

DESCRIPTION = "LMMRec's alignment losses (Eq. 7 to 9, batch 512) against a softmax for every direction; same gradient"
OURS, PLAIN = "jaxrec", "softmax for every direction"
TEMPERATURE, CALLS = 0.2, 20


def run(settings: Settings) -> dict:
    """Seconds for loss and gradient of users, positive and negative items."""
    size = 512 if settings.scale == "full" else 32
    rng = np.random.default_rng(0)
    student, teacher = (jnp.asarray(rng.normal(size=(2, sets, size, 32)), jnp.float32) for sets in (3, 2))
    ids = jnp.asarray(rng.integers(0, 20 * size, (3, size)), jnp.int32)
    mask = jnp.ones((3, size), bool)
    forms = {OURS: _ours, PLAIN: _plain}
    arguments = student, teacher, ids, mask
    built = {name: compile_timed(jax.jit(jax.value_and_grad(form)), *arguments) for name, form in forms.items()}
    compiled = {name: call for name, (call, _) in built.items()}
    results = {name: call(*arguments) for name, call in compiled.items()}

    def repeat(call: Any) -> None:
        for _ in range(CALLS):
            jax.block_until_ready(call(*arguments))

    variants = {name: functools.partial(repeat, call) for name, call in compiled.items()}
    times = interleave(variants, settings, per=dict.fromkeys(variants, CALLS))
    (loss, gradient), (plain_loss, plain_gradient) = results[OURS], results[PLAIN]
    error = float(jnp.abs(gradient - plain_gradient).max() / jnp.abs(plain_gradient).max())
    checks = {"gradients_equal": error <= 1e-5, "losses_equal": bool(abs(loss - plain_loss) <= 1e-5 * abs(plain_loss))}
    faster = ratios(times, OURS)
    return {
        "unit": "seconds a loss and gradient",
        "variants": times,
        "programs": {name: costs for name, (_, costs) in built.items()},
        "ratios": faster,
        "relative_error": error,
        "checks": checks,
    }


def _ours(student: jax.Array, teacher: jax.Array, ids: jax.Array, mask: jax.Array) -> jax.Array:
    by_student, by_teacher = (cosines(views[0], views[1], ()) for views in (normalize(student), normalize(teacher)))
    among = candidates(ids, mask, ids.shape[1], ())
    taught = correspondence(by_teacher, by_student, among, (TEMPERATURE, TEMPERATURE))
    return coordination(by_student, among, TEMPERATURE) + taught


def _plain(student: jax.Array, teacher: jax.Array, ids: jax.Array, mask: jax.Array) -> jax.Array:
    """The equations one after the other: similarities and a log-softmax for every set, direction and tower."""
    (graph, text), (taught_graph, taught_text) = normalize(student), normalize(teacher)
    own, total = own_candidate(ids.shape[1], ids.shape[1]), jnp.zeros(())
    for s in range(3):
        allowed = comparable(ids[s], mask[s], ids[s], mask[s], own)
        total += masked_mean(info_nce(similarities(graph[s], text[s], TEMPERATURE), allowed, own), mask[s])
        if s == 2:
            continue
        directions = ((text, graph, taught_text, taught_graph), (graph, text, taught_graph, taught_text))
        for rows, others, taught_rows, taught_others in directions:
            log_student = log_softmax(similarities(rows[s], others[s], TEMPERATURE), allowed)
            log_teacher = log_softmax(similarities(taught_rows[s], taught_others[s], TEMPERATURE), allowed)
            weighted = jnp.where(allowed, jnp.exp(log_teacher) * (log_teacher - log_student), 0.0)
            total += 0.5 * masked_mean(weighted.sum(-1), mask[s])
    return total
