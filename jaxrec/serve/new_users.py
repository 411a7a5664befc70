"""Users who are not in the data, told by what they did: the world of a sequence model with them in place of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Params
from jaxrec.models.m3bsr import M3BSR
from jaxrec.models.registry import CONFIGS
from jaxrec.serve.raw_ids import known_ids

History = Mapping[str, Sequence[str]]
"""Raw item ids by behaviour, each oldest first; "" is the behaviour that is recommended."""


class NewUsers(NamedTuple):
    """dataset: of the new users alone, named `new user 1` and so on; model, params and ctx to score them."""

    dataset: Dataset
    model: Any
    params: Params
    ctx: Context
    notes: tuple[str, ...]


def new_users(dataset: Dataset, model: Any, params: Params, ctx: Context, histories: Sequence[History]) -> NewUsers:
    """Each history is one user. Nobody knows their profiles, so these are unknown in every field.

    A model with a vector of each user gives them the mean of all its users, which `notes` says. Raises: UserError for
    a model that reads no histories, an empty history, an item or a behaviour that is not in the data.
    """
    if ctx.histories is None:
        reading = ", ".join(name for name, config in CONFIGS.items() if getattr(config, "needs_histories", False))
        raise UserError(
            f"--history: found a run of model {_name(model)}, which knows users by their ids alone, allowed: a run of "
            f"a model that reads histories ({reading}); or --user RAW_ID"
        )
    behaviors = ("",) if len(ctx.histories) == 1 else dataset.behavior_names
    tokens = tuple(np.zeros((len(histories), rows.shape[1]), np.int32) for rows in ctx.histories)
    pairs: list[tuple[int, int]] = []
    for row, history in enumerate(histories):
        if not any(len(raw) for raw in history.values()):
            raise UserError("--history: found no item, allowed: one raw item id or more, separated by commas")
        for behavior, raw in history.items():
            place, items = _place(behavior, behaviors), known_ids(raw, dataset.items, "item")
            if place == len(behaviors) - 1:
                pairs += [(row, int(item)) for item in items]
            latest = items[-tokens[place].shape[1] :]
            if len(latest):
                tokens[place][row, -len(latest) :] = latest + 1
    count, notes = len(histories), []
    changed = dataclasses.replace(model, num_users=count) if hasattr(model, "num_users") else model
    if isinstance(model, M3BSR) and model.config.user_field == "embedding":
        params = _mean_user(params, count)
        notes.append("the model has a vector of each user; a new one gets the mean of all")
    if ctx.user_fields or ctx.user_numbers:
        notes.append("nothing is known of the profile of a new user")
    return NewUsers(of_new_users(dataset, pairs, count), changed, params, _context(ctx, tokens, count), tuple(notes))


def _name(model: Any) -> str:
    return getattr(getattr(model, "config", None), "name", type(model).__name__)


def _place(behavior: str, behaviors: tuple[str, ...]) -> int:
    """The place of a behaviour's history; the target is the last."""
    if behavior == "":
        return len(behaviors) - 1
    if behavior not in behaviors:
        allowed = ", ".join(behaviors) if behaviors != ("",) else "item ids without a behaviour, of which there is one"
        raise UserError(f"--history: found behaviour {behavior!r}, allowed: {allowed}")
    return behaviors.index(behavior)


def _mean_user(params: Params, count: int) -> Params:
    """Tables of users with so many rows, each the mean of all."""

    def replaced(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        if getattr(path[-1], "key", None) != "user_embedding":
            return leaf
        return jnp.broadcast_to(leaf.mean(axis=0), (count, *leaf.shape[1:]))

    return jax.tree_util.tree_map_with_path(replaced, params)


def _context(ctx: Context, tokens: tuple[np.ndarray, ...], count: int) -> Context:
    def unknown(columns: dict[str, jax.Array] | None) -> dict[str, jax.Array] | None:
        return None if columns is None else {name: jnp.zeros(count, rows.dtype) for name, rows in columns.items()}

    return dataclasses.replace(
        ctx,
        histories=tuple(jnp.asarray(rows) for rows in tokens),
        user_fields=unknown(ctx.user_fields),
        user_numbers=unknown(ctx.user_numbers),
        user_number_masks=unknown(ctx.user_number_masks),
    )


def of_new_users(dataset: Dataset, pairs: Sequence[tuple[int, int]], count: int) -> Dataset:
    """What they did of the target behaviour, (user, item), oldest first, as the training part of `count` new users;
    items and their texts as they are."""
    users = IdMap(np.asarray([f"new user {row + 1}" for row in range(count)]))
    columns = np.asarray(pairs, np.int32).reshape(-1, 2)
    train = Interactions(columns[:, 0], columns[:, 1], users, dataset.items)
    none = train.take(np.zeros(len(train), bool))
    return dataclasses.replace(dataset, train=train, valid=none, test=none, auxiliary=None, reviews=None)
