"""What a finished run makes of its users' interests: which item went where, what the profile weighs, who wins."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.errors import UserError
from jaxrec.inspection.readings import BATCH, MAX_USERS, padded
from jaxrec.models.base import Context
from jaxrec.models.comirec import ComiRec
from jaxrec.models.uim import UiM

TOP = 10
"""Items of a user's list that are asked which interest brought them."""


@dataclasses.dataclass(frozen=True, eq=False)
class InterestReadings:
    """U users that are read, L places, K interests, I items, N fields of the profile.

    users: [U] int32. histories: [U, L] int32, item id + 1, 0 where there is nothing: what the model reads when it is
    tested. coupling: [U, L, K], the share of each item in each interest. item_gates: [U, L], what the profile makes of
    each item. field_gates: [U, K, N]; fields: their names; moved: [U, N], by how much a user's interests move with the
    field of somebody else, as a share of their length. winners: [U, TOP] int32, the interest that brings each of the
    best items, seen ones among them. items: [I, d], the model's vectors.
    """

    users: np.ndarray
    histories: np.ndarray
    coupling: np.ndarray
    item_gates: np.ndarray
    field_gates: np.ndarray
    fields: tuple[str, ...]
    moved: np.ndarray
    winners: np.ndarray
    items: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """[U, L] bool, where there is an item."""
        return self.histories > 0

    @property
    def groups(self) -> np.ndarray:
        """[U, L], the interest with the largest share of each item, -1 where there is none."""
        return np.where(self.real, self.coupling.argmax(-1), -1)

    def of_items(self, values: np.ndarray) -> np.ndarray:
        """Values [I, ...] of the items at each place, [U, L, ...]; anything where there is none."""
        return values[np.maximum(self.histories - 1, 0)]


def read_interests(run: LoadedRun) -> InterestReadings:
    """Readings of what users did before the test part. Raises UserError for a run of another model."""
    model = run.model
    if not isinstance(model, UiM | ComiRec):
        raise UserError(f"found a run of {run.experiment.model.name}, allowed: m3bsr, uim, comirec")
    ctx = run.assembly.context("test")
    users = np.arange(run.dataset.num_users, dtype=np.int32)
    if len(users) > MAX_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, MAX_USERS, replace=False))
    encode = jax.jit(model.encode)
    encoded = encode(run.params, ctx)

    @jax.jit
    def read(encoded: Any, user_ids: jax.Array) -> dict[str, Any]:
        batch = {"user_ids": user_ids, "mask": jnp.ones(len(user_ids), bool)}
        vectors, items = model.user_vectors(encoded, batch), model.item_vectors(encoded)
        products = jnp.einsum("bkd,id->bki", vectors, items.vectors)
        best = jax.lax.top_k(products.max(1) + items.bias[None], min(TOP, len(items.bias)))[1]
        found = {"vectors": vectors, "winners": jnp.take_along_axis(products.argmax(1), best, 1)}
        if isinstance(model, ComiRec):
            routed, histories = model.read(encoded, batch)
            gates = (histories > 0).astype(jnp.float32)
            empty = jnp.zeros((*routed.coupling.shape[::2], 0))
            told = {"histories": histories, "coupling": routed.coupling, "item_gates": gates, "field_gates": empty}
        else:
            insight = model.insight(encoded, batch)
            told = {name: getattr(insight, name) for name in ("coupling", "item_gates", "field_gates")}
            told["histories"] = insight.history
        return found | told

    whole = _in_batches(read, encoded, users)
    fields = model.field_names(ctx) if isinstance(model, UiM) else ()
    moved = np.zeros((len(users), len(fields)))
    for place, field in enumerate(fields):
        others = _in_batches(read, encode(run.params, _of_others(ctx, field)), users)["vectors"]
        distance = np.linalg.norm(others - whole["vectors"], axis=(1, 2))
        moved[:, place] = distance / np.maximum(np.linalg.norm(whole["vectors"], axis=(1, 2)), 1e-12)
    return InterestReadings(
        users=users,
        histories=whole["histories"],
        coupling=whole["coupling"],
        item_gates=whole["item_gates"],
        field_gates=whole["field_gates"],
        fields=fields,
        moved=moved,
        winners=whole["winners"],
        items=np.asarray(model.item_vectors(encoded).vectors),
    )


def _in_batches(read: Any, encoded: Any, users: np.ndarray) -> Any:
    parts = [jax.device_get(read(encoded, jnp.asarray(padded(users, start)))) for start in range(0, len(users), BATCH)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(users)], *parts)


def _of_others(ctx: Context, field: str) -> Context:
    """The context with the values of one field handed around among all users."""
    changed: dict[str, Any] = {}
    for name in ("user_fields", "user_numbers", "user_number_masks"):
        columns = getattr(ctx, name) or {}
        if field in columns:
            order = np.random.default_rng(0).permutation(len(columns[field]))
            changed[name] = {**columns, field: columns[field][order]}
    return dataclasses.replace(ctx, **changed)
