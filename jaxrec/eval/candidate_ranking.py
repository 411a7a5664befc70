"""Ranks one target of each user among a few other items: what sampled99 and retrieved have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrec.distributed import place
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.item_share import SharesOf, shares_of
from jaxrec.eval.metrics import BEYOND, all_metrics, mean_metrics
from jaxrec.eval.ranking import Evaluation
from jaxrec.eval.scoring import DirectScorer, Scorer, encode
from jaxrec.models.base import Context, Encoded, ItemVectors, Params
from jaxrec.nn.sharding import everywhere

BLOCK = 512
"""Users that are scored at once on a device."""


class _Blocks(NamedTuple):
    """Users [blocks, B], whether they are real, and their items [blocks, B, 1 + C], the target first."""

    user_ids: jax.Array
    mask: jax.Array
    candidates: jax.Array


class CandidateRanking:
    """Ranks target_ids [n] among other_ids [n, C], -1 where a user has fewer; user_ids: [n] int32, ascending.

    Ties are pessimistic: an item with the target's score stands before it, and so does one that is NaN. Where the
    target stands among the candidates does not matter. reachable: [n] bool, False where the target is no candidate
    and so cannot be found. num_without_target: users of the id map who are left out.
    """

    def __init__(
        self,
        user_ids: np.ndarray,
        target_ids: np.ndarray,
        other_ids: np.ndarray,
        config: EvalConfig,
        mesh: Mesh | None = None,
        reachable: np.ndarray | None = None,
        num_without_target: int = 0,
    ) -> None:
        self.config = config
        self.user_ids = user_ids
        self.reachable = np.ones(len(user_ids), bool) if reachable is None else reachable
        self._others = np.count_nonzero(other_ids >= 0, axis=1)
        self._without_target = num_without_target
        self._mesh = mesh if mesh is not None else Mesh(np.asarray(jax.local_devices()[:1]), ("data",))
        self._blocks = self._make_blocks(user_ids, np.concatenate([target_ids[:, None], other_ids], axis=1))
        self._compiled: dict[int, tuple[Scorer, Callable[..., tuple] | None, Callable[..., jax.Array]]] = {}

    @property
    def num_candidates(self) -> np.ndarray:
        """Items that each user's ranking holds, the target included where it is one, [n] int."""
        return self.reachable + self._others

    @property
    def num_targets(self) -> np.ndarray:
        """Targets among them: one, or none where it cannot be found, [n] int."""
        return self.reachable.astype(np.int32)

    def evaluate(self, model: Scorer, params: Params, ctx: Context, *, lists: bool = False) -> Evaluation:
        """Metrics of the model. lists: there are none of a few chosen items."""
        if id(model) not in self._compiled:
            # By identity: the entry holds the model, so that its id is not given to another.
            shares = shares_of(model, params, ctx, self._mesh, self.config.memory_budget_mb)
            ranker = self._ranker(model) if shares is None else self._share_ranker(shares)
            ranks = jax.jit(ranker, out_shardings=NamedSharding(self._mesh, P()))
            whole = None if shares is not None else jax.jit(functools.partial(encode, model))
            self._compiled[id(model)] = model, whole, ranks
        _, whole, rank = self._compiled[id(model)]
        if whole is None:
            found = rank(params, ctx, self._blocks)
        else:
            found = rank(*place(whole(params, ctx), NamedSharding(self._mesh, P())), self._blocks)
        return self.of_ranks(np.asarray(found).reshape(-1)[: len(self.user_ids)])

    def of_ranks(self, ranks: np.ndarray) -> Evaluation:
        """Metrics of targets at these ranks, [n] int, from 1; what cannot be found is nowhere."""
        found = self.reachable & (ranks <= max(self.config.k))
        per_user = all_metrics(
            np.where(found, ranks, BEYOND)[:, None], np.ones(len(self.user_ids), np.int32), self.config.k
        )
        return Evaluation(
            metrics=mean_metrics(per_user),
            per_user=per_user,
            user_ids=self.user_ids,
            num_users=len(self.user_ids),
            num_users_without_target=self._without_target,
            masked=(),
        )

    def _make_blocks(self, user_ids: np.ndarray, item_ids: np.ndarray) -> _Blocks:
        devices = self._mesh.devices.size
        size = min(BLOCK, -(-len(user_ids) // devices))
        num_blocks = -(-len(user_ids) // (size * devices)) * devices
        padding = num_blocks * size - len(user_ids)
        spec = NamedSharding(self._mesh, P(self._mesh.axis_names))

        def place(column: np.ndarray) -> jax.Array:
            padded = np.pad(column, [(0, padding), *[(0, 0)] * (column.ndim - 1)])
            blocked = padded.reshape(num_blocks, size, *column.shape[1:])
            return jax.make_array_from_callback(blocked.shape, spec, lambda index: blocked[index])

        return _Blocks(*(place(column) for column in (user_ids, np.ones(len(user_ids), bool), item_ids)))

    def _ranker(self, model: Scorer) -> Callable[..., jax.Array]:
        def rank_blocks(encoded: Encoded, items: ItemVectors | None, blocks: _Blocks) -> jax.Array:
            def rank_block(block: _Blocks) -> jax.Array:
                batch = {"user_ids": block.user_ids, "mask": block.mask}
                scores = _scores(model, encoded, items, batch, jnp.maximum(block.candidates, 0))
                return _ranks(scores, block.candidates)

            return lax.map(rank_block, blocks)

        blocked = P(self._mesh.axis_names)
        return jax.shard_map(
            rank_blocks, mesh=self._mesh, in_specs=(P(), P(), blocked), out_specs=blocked, check_vma=False
        )

    def _share_ranker(self, shares: SharesOf) -> Callable[..., jax.Array]:
        """The same where each device scores its own items, and tells the others."""
        share = shares.share

        def score(users: jax.Array, items: ItemVectors, candidates: jax.Array) -> jax.Array:
            places, here = share.columns(jnp.maximum(candidates, 0), len(items.bias))
            return share.total(jnp.where(here, _of_vectors(users, items, places), 0))

        specs = P(), P(share.axes), P()
        score_shares = jax.shard_map(score, mesh=shares.mesh, in_specs=specs, out_specs=P(), check_vma=False)

        def rank_blocks(params: Params, ctx: Context, blocks: _Blocks) -> jax.Array:
            encoded = shares.encode(params, ctx)
            items = shares.item_vectors(encoded)

            def rank_block(block: _Blocks) -> jax.Array:
                vectors = shares.user_vectors(encoded, ctx, block.user_ids, block.mask)
                return _ranks(score_shares(vectors, items, block.candidates), block.candidates)

            return lax.map(rank_block, everywhere(blocks, shares.mesh))

        return rank_blocks


def _ranks(scores: jax.Array, candidates: jax.Array) -> jax.Array:
    """[B] int32 rank of the first of the candidates [B, 1 + C], -1 where there is none, by their scores."""
    target = scores[:, :1]
    before = ~(scores[:, 1:] < target) & (candidates[:, 1:] >= 0)
    rank = 1 + jnp.sum(before, axis=1, dtype=jnp.int32)
    return jnp.where(jnp.isfinite(target[:, 0]), rank, BEYOND)


def _scores(model: Scorer, encoded: Encoded, items: ItemVectors | None, batch: dict, item_ids: jax.Array) -> jax.Array:
    """[B, C] float32 of item_ids [B, C]; computed once, so that equal items score equally."""
    if isinstance(model, DirectScorer):
        return lax.optimization_barrier(model.score(encoded, batch, item_ids).astype(jnp.float32))
    assert items is not None
    return _of_vectors(model.user_vectors(encoded, batch), items, item_ids)


def _of_vectors(users: jax.Array, items: ItemVectors, item_ids: jax.Array) -> jax.Array:
    vectors = items.vectors[item_ids].astype(jnp.float32)
    products = jnp.einsum("bkd,bcd->bkc", users.astype(jnp.float32), vectors, precision=lax.Precision.HIGHEST)
    return lax.optimization_barrier(products.max(axis=1)) + items.bias[item_ids].astype(jnp.float32)
