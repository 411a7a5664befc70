"""Lists of 50 out of a million items for users of three interests: exact by the evaluator, approximate by an index."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.data.batch import Batch
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from jaxrec.models.base import Context, Extra, ItemVectors, LossOutput, Params
from jaxrec.serve.approximate import ApproximateItems, recall

DESCRIPTION = "lists of 50 among 1,000,000 items (d = 64) for users of 3 interests: exact; a usearch index, its recall"
EXACT = "exact"
EXPANSIONS = {"index, 64 looked at": 64, "index, 256 looked at": 256}
LENGTH = 50


@dataclasses.dataclass(frozen=True)
class RetrievalWorkload:
    """Users, items and interests; topics: centres that vectors lie around, as those of a trained model do."""

    num_users: int = 256
    num_items: int = 1_000_000
    num_interests: int = 3
    dim: int = 64
    num_topics: int = 1000


WORKLOADS = {
    "full": RetrievalWorkload(),
    "small": RetrievalWorkload(num_users=16, num_items=2000, dim=8, num_topics=20),
}


@flax.struct.dataclass
class Vectors:
    """users: [U, K, D]; items: [I, D]; bias: [I]."""

    users: jax.Array
    items: jax.Array
    bias: jax.Array


class FixedInterests:
    """A model whose parameters are its vectors."""

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """It has nothing to begin with."""
        raise NotImplementedError("its vectors are given")

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """It does not train."""
        raise NotImplementedError("it does not train")

    def encode(self, params: Vectors, ctx: Context) -> Vectors:
        """The vectors as they are."""
        return params

    def user_vectors(self, encoded: Vectors, batch: Batch) -> jax.Array:
        """[B, K, D]."""
        return encoded.users[batch["user_ids"]]

    def item_vectors(self, encoded: Vectors) -> ItemVectors:
        """[I, D] and [I]."""
        return ItemVectors(encoded.items, encoded.bias)


def run(settings: Settings) -> dict:
    """Seconds a user of each way, and what share of the exact lists the index finds."""
    workload = WORKLOADS[settings.scale]
    vectors = make_vectors(workload)
    ranking = FullRanking(_dataset(workload), "test", EvalConfig(k=(10, LENGTH), save_topk=LENGTH))
    model = FixedInterests()

    def exact() -> Any:
        return ranking.evaluate(model, vectors, Context(), lists=True)

    variants: dict[str, Callable[[], Any]] = {EXACT: exact}
    lists, recalls, build_seconds = exact().topk_items, {}, None
    if importlib.util.find_spec("usearch") is not None:
        start = time.perf_counter()
        index = ApproximateItems(ItemVectors(vectors.items, vectors.bias))
        build_seconds = time.perf_counter() - start
        users = np.asarray(vectors.users)
        for name, expansion in EXPANSIONS.items():
            search = functools.partial(index.search, users, LENGTH, expansion=expansion)
            recalls[name] = recall(search()[0], lists)
            variants[name] = search
    times = interleave(variants, settings, per=dict.fromkeys(variants, workload.num_users))
    return {
        "unit": "seconds a user",
        "variants": times,
        "ratios": ratios(times, EXACT),
        "users_per_second": {name: 1 / found["median"] for name, found in times.items()},
        "recall": recalls,
        "build_seconds": build_seconds,
        "checks": {},
    }


def make_vectors(workload: RetrievalWorkload) -> Vectors:
    """Vectors around topics; a user's interests lie around one each."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(workload.num_topics, workload.dim)).astype(np.float32)

    def around(*shape: int) -> np.ndarray:
        noise = rng.normal(0, 0.7, (*shape, workload.dim)).astype(np.float32)
        return topics[rng.integers(0, len(topics), shape)] + noise

    items, bias = around(workload.num_items), rng.normal(size=workload.num_items).astype(np.float32)
    return Vectors(
        jnp.asarray(around(workload.num_users, workload.num_interests)), jnp.asarray(items), jnp.asarray(bias)
    )


def _dataset(workload: RetrievalWorkload) -> Dataset:
    """One test item a user, nothing before it."""
    user_ids, item_ids = (IdMap(np.arange(count).astype(str)) for count in (workload.num_users, workload.num_items))
    users = np.arange(workload.num_users, dtype=np.int32)
    test = Interactions(users, users, user_ids, item_ids)
    nothing = test.take(np.empty(0, np.int64))
    return Dataset("million-items", "sample", nothing, nothing, test, "", {})
