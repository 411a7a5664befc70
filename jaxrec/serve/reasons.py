"""Why an item is recommended, where the model can say it: the events of the history that its interest is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.models.base import Encoded, ItemVectors
from jaxrec.models.comirec import ComiRec
from jaxrec.models.uim import UiM


class Because(NamedTuple):
    """item_ids: [n] int32, events of the user's history; shares: [n] float32 of the interest, largest first."""

    item_ids: np.ndarray
    shares: np.ndarray


def history_reasons(
    model: Any, encoded: Encoded, items: ItemVectors | None, users: np.ndarray, listed: list[np.ndarray], most: int = 3
) -> list[list[Because]] | None:
    """For each of the users [B] and each item of their list, what its interest is made of; None of other models.

    An item's interest is the one that scores it best; an event's share of it is what routing gave it, times the weight
    of the user's profile where there is one, over the sum of all events.
    """
    if not isinstance(model, (ComiRec, UiM)) or items is None:
        return None
    batch = {"user_ids": jnp.asarray(users, jnp.int32), "mask": jnp.ones(len(users), bool)}
    if isinstance(model, UiM):
        insight = jax.device_get(jax.jit(model.insight)(encoded, batch))
        vectors, history = insight.interests, insight.history
        weights = insight.coupling * insight.item_gates[:, :, None]
    else:
        routed, history = jax.device_get(jax.jit(model.read)(encoded, batch))
        vectors, weights = routed.capsules, routed.coupling
    weights = np.where(history[:, :, None] > 0, weights, 0.0)
    table = np.asarray(items.vectors)
    reasons = []
    for row, item_ids in enumerate(listed):
        best = np.einsum("kd,nd->nk", vectors[row], table[item_ids]).argmax(axis=1)
        reasons.append([_largest(weights[row, :, interest], history[row], most) for interest in best])
    return reasons


def _largest(weights: np.ndarray, history: np.ndarray, most: int) -> Because:
    """The items with the largest weights [L], those of an item that stands there twice added up."""
    total = float(weights.sum())
    if total <= 0:
        return Because(np.empty(0, np.int32), np.empty(0, np.float32))
    held = np.flatnonzero(history)
    item_ids, place = np.unique(history[held] - 1, return_inverse=True)
    shares = np.bincount(place.ravel(), weights[held]) / total
    order = np.argsort(-shares, kind="stable")[:most]
    return Because(item_ids[order].astype(np.int32), shares[order].astype(np.float32))
