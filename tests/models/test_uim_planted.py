"""UiM on a planted world: capsules part a user's items by kind, and gates favour the field that tells the target."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.models.base import Context
from jaxrec.models.uim import UiM, UiMConfig

USERS, KINDS, ITEMS, LENGTH, FIELD_VALUES = 256, 4, 48, 8, 4
CONFIG = UiMConfig(dim=16, max_length=LENGTH, num_interests=2, backbone="fusion", regularization=1e-4, init_std=0.3)


@functools.cache
def planted():
    """Each user has items of two kinds in turn; the next one is of the kind that the profile's field `kind` names.

    The field `dice` says nothing. Items are told by their ids alone.
    """
    rng = np.random.default_rng(0)
    kinds = np.stack([rng.permutation(KINDS)[:2] for _ in range(USERS)])
    per_kind = ITEMS // KINDS
    of_items = np.tile(kinds, (1, LENGTH // 2))
    items = of_items * per_kind + rng.integers(0, per_kind, of_items.shape)
    wanted = kinds[np.arange(USERS), rng.integers(0, 2, USERS)]
    targets = wanted * per_kind + rng.integers(0, per_kind, USERS)
    ctx = Context(
        item_counts=np.bincount(np.append(items, targets), minlength=ITEMS).astype(np.int32),
        histories=((items + 1).astype(np.int32),),
        item_features={},
        item_feature_masks={},
        user_fields={"dice": rng.integers(1, FIELD_VALUES + 1, USERS).astype(np.int32), "kind": wanted + 1},
        user_field_sizes=(FIELD_VALUES + 1, KINDS + 1),
        user_numbers={},
        user_number_masks={},
    )
    return jax.tree.map(jnp.asarray, ctx), targets.astype(np.int32), of_items


@functools.cache
def insight(config=CONFIG, steps=300):
    """What the trained model makes of every user, and its scores [U, I]."""
    ctx, targets, _ = planted()
    model, optimizer = UiM(config, USERS, ITEMS), optax.adam(0.01)

    def step(carry, index):
        params, state = carry
        rng = jax.random.fold_in(jax.random.key(1), index)
        users = jax.random.permutation(rng, USERS)[:64].astype(jnp.int32)
        batch = {
            "user_ids": users,
            "target_item_ids": jnp.asarray(targets)[users],
            "mask": jnp.ones(64, bool),
            "histories": tuple(rows[users] for rows in ctx.histories),
        }
        gradient = jax.grad(lambda params: model.loss(params, {}, batch, ctx, rng).total)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train():
        params, _ = model.init(jax.random.key(0), ctx)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))
        encoded = model.encode(params, ctx)
        found = model.insight(encoded, {"user_ids": jnp.arange(USERS, dtype=jnp.int32)})
        return found, jnp.einsum("bkd,id->bki", found.interests, encoded["items"]).max(1)

    return jax.tree.map(np.asarray, train())


def purity(labels, clusters):
    """Share of items whose kind is the commonest in their user's capsule."""
    pairs = zip(labels, clusters, strict=True)
    return sum(np.bincount(row[own == k]).max() for row, own in pairs for k in set(own)) / labels.size


def test_planted_interests_are_found():
    found, _ = insight(dataclasses.replace(CONFIG, num_interests=3, profile=False))
    capsules, kinds = found.coupling.argmax(2), planted()[2]
    by_chance = purity(kinds, np.random.default_rng(1).permuted(capsules, axis=1))
    assert purity(kinds, capsules) > max(0.8, by_chance + 0.1)


def test_gates_favour_the_field_that_tells_the_target():
    found, scores = insight(steps=200)
    dice, kind = found.field_gates.mean((0, 1))
    assert kind > dice + 0.2
    best = scores.reshape(USERS, KINDS, -1).mean(2).argmax(1)
    assert (best == np.asarray(planted()[0].user_fields["kind"]) - 1).mean() > 0.9
