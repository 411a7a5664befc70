"""What a finished run makes of some users before their test part: interests, what they are made of, all scores."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.data.histories import histories
from jaxrec.eval.scoring import DirectScorer
from jaxrec.models.comirec import ComiRec

SHOWN_EVENTS = 50
"""Of a model that does not say what it reads, so many of the latest events are compared with its interests."""


@runtime_checkable
class Insightful(Protocol):
    """A model that says what its interests are made of, such as UiM."""

    def insight(self, encoded: Any, batch: Any) -> Any:
        """interests [B, K, D], coupling [B, L, K], item_gates [B, L], field_gates [B, K, N], history [B, L]."""
        ...

    def field_names(self, ctx: Any) -> tuple[str, ...]:
        """Names of the N fields."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """B users, K interests, L events, I items, N profile fields.

    history: [B, L] int32, item id + 1, the latest at the right, 0 to its left. scores: [B, I] float32, the best of all
    interests, as ranking takes it. winner: [B, I] int32, which interest that was; None of a model without vectors.
    weights: [B, K, L], how much of each event an interest holds: `kind` says whether by routing (coupling times gate)
    or, where the model does not say, as likeness of the vectors (cosine); None without vectors. coupling: [B, K, L],
    item_gates: [B, L] and field_gates: [B, K, N] of models that have them.
    """

    history: np.ndarray
    scores: np.ndarray
    winner: np.ndarray | None
    kind: str
    weights: np.ndarray | None
    coupling: np.ndarray | None
    item_gates: np.ndarray | None
    field_gates: np.ndarray | None
    field_names: tuple[str, ...]


def read_users(run: LoadedRun, user_ids: np.ndarray) -> Reading:
    """Reading of users [B] int32, with the histories that the test part was ranked from."""
    model, ctx = run.model, run.assembly.context("test")
    encoded = jax.jit(model.encode)(run.params, ctx)
    batch = {"user_ids": jnp.asarray(user_ids, jnp.int32), "mask": jnp.ones(len(user_ids), bool)}
    latest = _latest(run, user_ids)
    if isinstance(model, DirectScorer):
        scores = np.asarray(jax.jit(model.score, static_argnums=2)(encoded, batch, None))
        return Reading(latest, scores, None, "none", None, None, None, None, ())
    vectors = jax.jit(model.user_vectors)(encoded, batch)
    items = model.item_vectors(encoded)
    products = np.asarray(jnp.einsum("bkd,id->bki", vectors, items.vectors, precision=jax.lax.Precision.HIGHEST))
    scores, winner = products.max(axis=1) + np.asarray(items.bias), products.argmax(axis=1)
    coupling, item_gates, field_gates, names = None, None, None, ()
    history = latest
    if isinstance(model, Insightful):
        insight = jax.device_get(jax.jit(model.insight)(encoded, batch))
        history, item_gates, names = insight.history, insight.item_gates, tuple(model.field_names(ctx))
        coupling = insight.coupling.swapaxes(1, 2)
        field_gates = insight.field_gates if names else None
    elif isinstance(model, ComiRec):
        routed, tokens = jax.device_get(jax.jit(model.read)(encoded, batch))
        history, coupling = tokens, routed.coupling.swapaxes(1, 2)
    if coupling is None:
        weights = _likeness(np.asarray(vectors), np.asarray(items.vectors), history)
    else:
        weights = coupling if item_gates is None else coupling * item_gates[:, None, :]
    kind = "likeness" if coupling is None else "routing"
    return Reading(history, scores, winner, kind, weights, coupling, item_gates, field_gates, names)


def _latest(run: LoadedRun, user_ids: np.ndarray) -> np.ndarray:
    """[B, SHOWN_EVENTS] of what the model knew: before the test part or, where it reads no histories, of training."""
    if getattr(run.experiment.model, "needs_histories", False):
        return histories(run.dataset, "test", SHOWN_EVENTS)[-1][user_ids]
    train = run.dataset.train
    times = np.zeros(len(train), np.int64) if train.timestamps is None else train.timestamps
    order = np.lexsort((np.arange(len(train)), times))
    table = np.zeros((len(user_ids), SHOWN_EVENTS), np.int32)
    for row, user in enumerate(user_ids.tolist()):
        items = train.item_ids[order][train.user_ids[order] == user][-SHOWN_EVENTS:]
        table[row, SHOWN_EVENTS - len(items) :] = items + 1
    return table


def _likeness(vectors: np.ndarray, items: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Cosines [B, K, L] of interests [B, K, D] and the events of histories [B, L]; 0 where there is none."""
    rows = items[np.maximum(history - 1, 0)]
    lengths = np.linalg.norm(vectors, axis=-1)[:, :, None] * np.linalg.norm(rows, axis=-1)[:, None, :]
    cosines = np.einsum("bkd,bld->bkl", vectors, rows) / np.maximum(lengths, 1e-12)
    return np.where(history[:, None, :] > 0, cosines, 0.0)
