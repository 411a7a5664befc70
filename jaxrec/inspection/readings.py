"""What the network of a finished run makes of its users' histories, event by event."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.errors import UserError
from jaxrec.models.m3bsr import M3BSR
from jaxrec.models.m3bsr_input import modality_names

MAX_USERS = 2000
"""Users that are read; of more, a fixed random choice."""
BATCH = 256
"""Users that are read at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """U users that are read, B behaviours, modalities by name, L places, E experts.

    users: [U] int32. histories: [U, B, L] int32, item id + 1, 0 where there is nothing. features, modality_denoised,
    denoised: modality -> [U, B, L, w] float32, before, between and behind the two denoising stages. attention:
    [U, E, L], what each expert's vector reads of each event; None where there are no experts. removed: [U, L], by how
    much a user's vector moves without the event of the shallowest behaviour, as a share of its length. summands:
    [U, E, d], what each expert adds to the user's vector, experts as in `experts`; None without a shared expert.
    gate: [U, d]. seconds_per_user: of scoring all items.
    """

    users: np.ndarray
    histories: np.ndarray
    behaviors: tuple[str, ...]
    features: dict[str, np.ndarray]
    modality_denoised: dict[str, np.ndarray]
    denoised: dict[str, np.ndarray]
    attention: np.ndarray | None
    removed: np.ndarray
    summands: np.ndarray | None
    gate: np.ndarray | None
    experts: tuple[str, ...]
    seconds_per_user: float

    def events(self, behavior: int) -> np.ndarray:
        """[U, L] bool, where the behaviour has an event."""
        return self.histories[:, behavior] > 0

    def item_ids(self, behavior: int) -> np.ndarray:
        """[n] item ids of the behaviour's events, in the order of `rows`."""
        return self.histories[:, behavior][self.events(behavior)] - 1

    def rows(self, values: np.ndarray, behavior: int) -> np.ndarray:
        """[n, w] of features or denoised [U, B, L, w], the behaviour's events alone."""
        return values[:, behavior][self.events(behavior)]


def read_run(run: LoadedRun) -> Readings:
    """Readings of everything that users did. Raises UserError for a run of another model."""
    if not isinstance(run.model, M3BSR):
        raise UserError(f"found a run of {run.experiment.model.name}, allowed: m3bsr")
    model, ctx = run.model, run.ctx
    users = np.arange(run.dataset.num_users, dtype=np.int32)
    if len(users) > MAX_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, MAX_USERS, replace=False))
    encoded = jax.jit(model.encode)(run.params, ctx)
    with_experts = model.config.extraction == "experts"

    @jax.jit
    def read(encoded: Any, user_ids: jax.Array) -> dict[str, Any]:
        given = tuple(rows[user_ids] for rows in encoded["histories"])
        batch = {"user_ids": user_ids, "histories": given}
        found = model.interests(encoded, batch)

        def without(place: jax.Array) -> jax.Array:
            fewer = (given[0].at[:, place].set(0), *given[1:])
            moved = model.interests(encoded, batch | {"histories": fewer}).users - found.users
            return jnp.linalg.norm(moved, axis=-1) / jnp.maximum(jnp.linalg.norm(found.users, axis=-1), 1e-9)

        length = given[0].shape[1]
        return {
            "histories": jnp.stack([rows[:, -model.config.max_length :] for rows in given], axis=1),
            "features": found.features,
            "modality_denoised": found.modality_denoised,
            "denoised": found.denoised,
            "attention": model.attention(encoded, batch) if with_experts else None,
            "removed": jax.lax.map(without, jnp.arange(length)).T,
            "summands": found.summands,
            "gate": found.gate,
        }

    parts = [jax.device_get(read(encoded, jnp.asarray(padded(users, start)))) for start in range(0, len(users), BATCH)]
    whole: Any = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(users)], *parts)
    behaviors, modalities = run.dataset.behavior_names, modality_names(ctx)
    return Readings(
        users=users,
        histories=whole["histories"],
        behaviors=behaviors,
        features=whole["features"],
        modality_denoised=whole["modality_denoised"],
        denoised=whole["denoised"],
        attention=whole["attention"],
        removed=whole["removed"],
        summands=whole["summands"],
        gate=whole["gate"],
        experts=("shared", *(f"{behavior} {name}" for behavior in behaviors for name in modalities)),
        seconds_per_user=_seconds_per_user(model, encoded, users),
    )


def padded(users: np.ndarray, start: int) -> np.ndarray:
    """[BATCH] users from a place on; the first again where there are no more."""
    rows = users[start : start + BATCH]
    return np.pad(rows, (0, BATCH - len(rows)), constant_values=users[0])


def _seconds_per_user(model: M3BSR, encoded: Any, users: np.ndarray) -> float:
    """Seconds of one user's vector and scores of the whole catalogue, in batches: the best of three rounds."""

    @jax.jit
    def score(encoded: Any, user_ids: jax.Array) -> jax.Array:
        vectors, items = model.user_vectors(encoded, {"user_ids": user_ids})[:, 0], model.item_vectors(encoded)
        return vectors @ items.vectors.T + items.bias[None, :]

    batch = jnp.asarray(padded(users, 0))
    score(encoded, batch).block_until_ready()
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        score(encoded, batch).block_until_ready()
        rounds.append(time.perf_counter() - started)
    return min(rounds) / BATCH
