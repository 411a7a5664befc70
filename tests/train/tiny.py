"""A small matrix factorisation and a small dataset, to test the training machinery apart from the models."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.models.base import Context, LossOutput

NUM_USERS, NUM_ITEMS, DIM = 30, 40, 8
RULES = (("embedding", PartitionSpec(None, "model")),)


@dataclasses.dataclass(frozen=True)
class TinyModel:
    """BPR without regularisation; `explode_at` makes the loss of one step NaN."""

    explode_at: int | None = None

    def init(self, rng, ctx):
        user_rng, item_rng = jax.random.split(rng)
        params = {
            "user_embedding": 0.1 * jax.random.normal(user_rng, (NUM_USERS, DIM)),
            "item_embedding": 0.1 * jax.random.normal(item_rng, (NUM_ITEMS, DIM)),
        }
        return params, {"average": params["user_embedding"], "calls": jnp.zeros((), jnp.int32)}

    def loss(self, params, extra, batch, ctx, rng):
        users = params["user_embedding"][batch["user_ids"]]
        difference = params["item_embedding"][batch["negative_item_ids"]] - params["item_embedding"][batch["item_ids"]]
        noise = 0.01 * jax.random.normal(rng, batch["mask"].shape)
        each = jax.nn.softplus((users * difference).sum(-1) + noise)
        total = jnp.where(batch["mask"], each, 0).sum() / batch["mask"].sum()
        if self.explode_at is not None:
            total = jnp.where(extra["calls"] == self.explode_at, jnp.nan, total)
        average = 0.9 * extra["average"] + 0.1 * jax.lax.stop_gradient(params["user_embedding"])
        return LossOutput(total, {"bpr": total}, {"average": average, "calls": extra["calls"] + 1})


def tiny_context(mesh=None):
    return Context(item_counts=jnp.ones(NUM_ITEMS, jnp.int32), mesh=mesh)


def tiny_dataset(seed=0):
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.choice(NUM_USERS * NUM_ITEMS, 300, replace=False))
    users, items = (keys // NUM_ITEMS).astype(np.int32), (keys % NUM_ITEMS).astype(np.int32)
    maps = IdMap(np.array([f"u{i}" for i in range(NUM_USERS)])), IdMap(np.array([f"i{i}" for i in range(NUM_ITEMS)]))
    everything = Interactions(users, items, *maps)
    part = rng.permutation(300)
    train, valid, test = (everything.take(np.sort(rows)) for rows in (part[:200], part[200:250], part[250:]))
    return Dataset("tiny", "path", train, valid, test, "0" * 64, {})
