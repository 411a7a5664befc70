"""Recommendations from a finished run, in the user's own ids."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.assembly import LoadedRun, load_run
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.errors import UserError
from jaxrec.eval.rank_count import Ragged, mask_scores
from jaxrec.eval.scoring import Scorer, block_scores, encode, floats_per_user
from jaxrec.models.base import Context, Encoded, ItemVectors, Params
from jaxrec.serve.new_users import History, new_users
from jaxrec.serve.raw_ids import known_ids
from jaxrec.serve.reasons import history_reasons

Scored = list[tuple[str, float]]
"""(raw item id, score), best first."""
Reason = list[tuple[str, float]]
"""(raw item id of the history, its share), largest first."""

BLOCK_MB = 64
"""Memory of the scores that are computed at a time."""


class Recommender:
    """Encodes a run once and answers for any of its users and items."""

    def __init__(self, dataset: Dataset, model: Scorer, params: Params, ctx: Context) -> None:
        self.dataset = dataset
        self._model, self._params, self._ctx = model, params, ctx
        self.notes: tuple[str, ...] = ()
        # A few users need one device, wherever the parameters lie.
        device = jax.local_devices()[0]
        encoded = jax.device_put(jax.jit(functools.partial(encode, model))(params, ctx), device)
        self._encoded: Encoded = encoded[0]
        self._items: ItemVectors | None = encoded[1]
        self._top = jax.jit(self._top_of_users, static_argnames="k")
        self._near = jax.jit(_cosines)
        floats = floats_per_user(model, self._encoded, dataset.num_items)
        self._block = max(1, min(256, (BLOCK_MB << 20) // (4 * floats)))

    @classmethod
    def from_run(cls, folder: pathlib.Path | str, notice: Callable[[str], None] = lambda _: None) -> Recommender:
        """Load a finished run. Raises UserError where it is missing, unfinished, or its data has changed."""
        run: LoadedRun = load_run(pathlib.Path(folder), notice)
        return cls(run.dataset, run.model, run.params, run.ctx)

    def with_histories(self, histories: Sequence[History]) -> Recommender:
        """The same model for users who are not in the data: `new user 1` and so on, each with one of the histories.

        `notes` says what the model cannot know of them. Raises UserError for a model that reads no histories, an empty
        history and what is not in the data.
        """
        given = new_users(self.dataset, self._model, self._params, self._ctx, histories)
        found = Recommender(given.dataset, given.model, given.params, given.ctx)
        found.notes = given.notes
        return found

    def recommend(
        self,
        raw_user_ids: Sequence[str],
        k: int,
        exclude_seen: bool = True,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] | None = None,
        unknown: Literal["error", "popularity"] = "error",
    ) -> list[Scored]:
        """The k best items of each user; fewer where fewer are left.

        exclude_seen: leave out all items of the user in the data, of every part. allow, deny: raw item ids that alone
        may, or may not, be recommended. unknown: what a user gets who is not in the data: an error that names the
        nearest ids, or the items with the most training interactions (their scores).

        Raises UserError for an unknown user or item, and for k below 1 or above the size of the catalogue.
        """
        self.check_k(k)
        allowed = self._allowed(allow, deny)
        if unknown == "popularity":
            users = self.dataset.users.encode(raw_user_ids)
        else:
            users = known_ids(raw_user_ids, self.dataset.users, "user")
        lists: list[Scored] = [[] for _ in users]
        known = np.flatnonzero(users >= 0)
        for start in range(0, len(known), self._block):
            places = known[start : start + self._block]
            seen = self._seen(users[places]) if exclude_seen else [np.empty(0, np.int32)] * len(places)
            for place, found in zip(places, self._top_lists(users[places], seen, allowed, k), strict=True):
                lists[place] = found
        if len(known) < len(users):
            popular = self._popular(allowed, k)
            for place in np.flatnonzero(users < 0):
                lists[place] = popular
        return lists

    def reasons(self, raw_user_ids: Sequence[str], lists: Sequence[Scored]) -> list[list[Reason]] | None:
        """Why each item of each list: the events of the user's history that most of its interest is made of, and their
        shares; None of a model that does not say it."""
        users = known_ids(raw_user_ids, self.dataset.users, "user")
        listed = [self.dataset.items.encode([item for item, _ in found]) for found in lists]
        reasons = history_reasons(self._model, self._encoded, self._items, users, listed)
        if reasons is None:
            return None
        return [[self._named(one.item_ids, one.shares) for one in of_user] for of_user in reasons]

    def similar_items(self, raw_item_id: str, k: int) -> Scored:
        """The k items whose vectors point in the most similar direction (cosine), without the item itself.

        Raises UserError for an unknown item, and for a model that scores without vectors.
        """
        self.check_k(k)
        if self._items is None:
            raise UserError("similar items: the model scores users without item vectors, so no two items are compared")
        item = int(known_ids([raw_item_id], self.dataset.items, "item")[0])
        cosines = np.array(self._near(self._items.vectors, jnp.asarray(item, jnp.int32)))
        if not np.isfinite(cosines[item]):
            raise UserError(f"item {raw_item_id!r}: the model has no vector for it, so nothing is similar")
        cosines[item] = -np.inf
        return self._named(*_best(np.where(np.isfinite(cosines), cosines, -np.inf), k))

    def check_k(self, k: int) -> None:
        """Raises: UserError for a k below 1 or above the size of the catalogue."""
        if not 1 <= k <= self.dataset.num_items:
            raise UserError(f"k: {k} is not between 1 and the {self.dataset.num_items} items of the catalogue")

    def _allowed(self, allow: Sequence[str] | None, deny: Sequence[str] | None) -> np.ndarray:
        allowed = np.ones(self.dataset.num_items, bool)
        if allow is not None:
            allowed[:] = False
            allowed[known_ids(allow, self.dataset.items, "item")] = True
        if deny is not None:
            allowed[known_ids(deny, self.dataset.items, "item")] = False
        return allowed

    def _seen(self, users: np.ndarray) -> list[np.ndarray]:
        """Each user's items in all parts, without repeats."""
        parts: tuple[Interactions, ...] = (self.dataset.train, self.dataset.valid, self.dataset.test)
        rows = [np.flatnonzero(np.isin(part.user_ids, users)) for part in parts]
        user_ids = np.concatenate([part.user_ids[row] for part, row in zip(parts, rows, strict=True)])
        item_ids = np.concatenate([part.item_ids[row] for part, row in zip(parts, rows, strict=True)])
        return [np.unique(item_ids[user_ids == user]) for user in users]

    def _top_lists(self, users: np.ndarray, seen: list[np.ndarray], allowed: np.ndarray, k: int) -> list[Scored]:
        """Lists of at most one block of users; shapes are padded to powers of two, so that few are compiled."""
        size = 1 << (len(users) - 1).bit_length()
        counts = np.zeros(size, np.int32)
        counts[: len(users)] = [len(items) for items in seen]
        flat = np.zeros(1 << int(max(counts.sum() - 1, 0)).bit_length(), np.int32)
        flat[: counts.sum()] = np.concatenate(seen)
        batch = {
            "user_ids": jnp.asarray(np.pad(users, (0, size - len(users)))),
            "mask": jnp.arange(size) < len(users),
        }
        masked = Ragged(jnp.asarray(flat), jnp.asarray(np.cumsum(counts) - counts, jnp.int32), jnp.asarray(counts))
        top = self._top(self._encoded, self._items, batch, masked, jnp.asarray(allowed), k=k)
        scores, items = (np.asarray(array) for array in top)
        return [self._named(items[row], scores[row]) for row in range(len(users))]

    def _top_of_users(
        self, encoded: Encoded, items: ItemVectors | None, batch: dict, masked: Ragged, allowed: jax.Array, k: int
    ) -> tuple[jax.Array, jax.Array]:
        scores = jnp.where(allowed[None, :], block_scores(self._model, encoded, items, batch), -jnp.inf)
        values, columns = jax.lax.top_k(mask_scores(scores, masked), k)
        return values, columns

    def _popular(self, allowed: np.ndarray, k: int) -> Scored:
        counts = np.bincount(self.dataset.train.item_ids, minlength=self.dataset.num_items).astype(np.float32)
        return self._named(*_best(np.where(allowed, counts, -np.inf), k))

    def _named(self, items: np.ndarray, scores: np.ndarray) -> Scored:
        real = ~np.isneginf(scores)
        raw = self.dataset.items.decode(items[real])
        return [(str(item), float(score)) for item, score in zip(raw, scores[real], strict=True)]


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best places, best first and equal ones in order, and their scores."""
    places = np.argsort(-scores, kind="stable")[:k]
    return places, scores[places]


def _cosines(vectors: jax.Array, item: jax.Array) -> jax.Array:
    """Cosine of every row with one row, [I]; NaN where a vector is zero."""
    lengths = jnp.linalg.norm(vectors, axis=1)
    return (vectors @ vectors[item]) / (lengths * lengths[item])
