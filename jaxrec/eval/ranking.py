"""Full ranking: every item of the catalogue is a candidate, what was seen is masked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrec.data.dataset import Dataset
from jaxrec.distributed import place
from jaxrec.errors import UserError
from jaxrec.eval.blocks import UserBlocks, block_size, user_blocks
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.item_share import SharesOf, shares_of
from jaxrec.eval.metrics import all_metrics, coverage, mean_metrics
from jaxrec.eval.rank_count import Ragged, mask_scores, ranks_of_targets
from jaxrec.eval.scoring import Scorer, all_scores, block_scores, encode, floats_per_user, pad_items
from jaxrec.eval.topk import block_width, exact_top_k, top_k_of_shares
from jaxrec.eval.users import Part, ranked_users
from jaxrec.models.base import Context, Encoded, ItemVectors, Params


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """One part ranked by one model.

    metrics: `<name>@<k>` -> mean over the users. per_user: the same names -> [n] float64. user_ids: [n] int32,
    ascending. topk_items: [n, K] int32, best first, -1 where fewer candidates exist; topk_scores: [n, K] float32;
    both None without lists. masked: the parts whose items were no candidates.
    """

    metrics: dict[str, float]
    per_user: dict[str, np.ndarray]
    user_ids: np.ndarray
    num_users: int
    num_users_without_target: int
    masked: tuple[str, ...]
    topk_items: np.ndarray | None = None
    topk_scores: np.ndarray | None = None


class _Compiled:
    """The compiled calls of one model, kept from evaluation to evaluation."""

    def __init__(self, model: Scorer, shares: SharesOf | None) -> None:
        self.model, self.shares = model, shares
        self.floats: int | None = None
        self.encode = jax.jit(functools.partial(encode, model))
        self.rank: dict[bool, Callable[..., tuple[jax.Array, ...]]] = {}


class _Lists(NamedTuple):
    """Flat items of all target lists and of all masked lists, on every device."""

    target_items: jax.Array
    masked_items: jax.Array


class FullRanking:
    """Ranks the targets of one part among all items that the user has not seen.

    Users without a target are left out and counted. Items are encoded once an evaluation; users pass in blocks of
    one size, in one compiled call that is kept for the next evaluation. The blocks are spread over all devices of the
    mesh, or, where the vectors are too many for each (`item_share`), the items are.
    Without lists, ranks are counted and nothing is sorted (`rank_count`); with lists, the exact best
    max(save_topk, k) items of every user are given too. Both read the same float32 scores.

    Raises UserError where a cut-off is larger than the catalogue or the part has no interaction.
    """

    def __init__(self, dataset: Dataset, part: Part, config: EvalConfig, mesh: Mesh | None = None) -> None:
        self.config = config
        self.users = ranked_users(dataset, part, config.mask_valid_at_test, config.max_users)
        self._check(part)
        self._mesh = mesh if mesh is not None else Mesh(np.asarray(jax.local_devices()[:1]), ("data",))
        self._list_length = min(max((*config.k, config.save_topk)), self.users.num_items)
        # Nothing can be gathered from an empty array, not even nothing.
        masked_items = self.users.masked_items if len(self.users.masked_items) else np.zeros(1, np.int32)
        self._lists = _Lists(self._put(self.users.target_items, P()), self._put(masked_items, P()))
        self._blocks: dict[tuple[int, bool], tuple[UserBlocks, UserBlocks]] = {}
        self._compiled: dict[int, _Compiled] = {}

    @property
    def num_candidates(self) -> np.ndarray:
        """Items that each user's ranking holds, targets included, [n] int32."""
        return self.users.num_candidates

    @property
    def num_targets(self) -> np.ndarray:
        """Targets of each user, [n] int32."""
        return self.users.num_targets

    def evaluate(self, model: Scorer, params: Params, ctx: Context, *, lists: bool = False) -> Evaluation:
        """Metrics of the model, and each user's best items where lists are asked for."""
        # By identity: the entry holds the model, so that its id is not given to another.
        if id(model) not in self._compiled:
            shares = shares_of(model, params, ctx, self._mesh, self.config.memory_budget_mb)
            self._compiled[id(model)] = _Compiled(model, shares)
        compiled = self._compiled[id(model)]
        if compiled.shares is not None:
            host_blocks, results = self._ranked_by_shares(compiled, compiled.shares, params, ctx, lists)
        else:
            host_blocks, results = self._ranked(compiled, params, ctx, lists)
        ranks, *top = (host_blocks.in_order(np.asarray(result)) for result in results)
        per_user = all_metrics(ranks, self.users.num_targets, self.config.k)
        metrics = mean_metrics(per_user)
        topk_scores, topk_items = top if lists else (None, None)
        if topk_items is not None and topk_scores is not None:
            topk_items = np.where(np.isneginf(topk_scores), -1, topk_items).astype(np.int32)
            metrics |= {f"coverage@{k}": coverage(topk_items, self.users.num_items, k) for k in self.config.k}
        return Evaluation(
            metrics=metrics,
            per_user=per_user,
            user_ids=self.users.user_ids,
            num_users=len(self.users.user_ids),
            num_users_without_target=self.users.num_without_target,
            masked=self.users.masks,
            topk_items=topk_items,
            topk_scores=topk_scores,
        )

    def _ranked(
        self, compiled: _Compiled, params: Params, ctx: Context, lists: bool
    ) -> tuple[UserBlocks, tuple[jax.Array, ...]]:
        """Every device ranks its own blocks of users among all items."""
        replicated = NamedSharding(self._mesh, P())
        # The parameters may lie on another mesh than the one that ranks.
        encoded, items = place(compiled.encode(params, ctx), replicated)
        floats = floats_per_user(compiled.model, encoded, self.users.num_items)
        host_blocks, blocks = self._blocks_for(floats, shared=False)
        if lists not in compiled.rank:
            compiled.rank[lists] = jax.jit(self._ranker(compiled.model, lists), out_shardings=replicated)
        return host_blocks, compiled.rank[lists](encoded, items, self._lists, blocks)

    def _ranked_by_shares(
        self, compiled: _Compiled, shares: SharesOf, params: Params, ctx: Context, lists: bool
    ) -> tuple[UserBlocks, tuple[jax.Array, ...]]:
        """Every device ranks all users among its own items, and has no others' vectors."""
        if compiled.floats is None:
            compiled.floats = shares.floats_per_user(params, ctx, self.users.num_items)
        host_blocks, blocks = self._blocks_for(compiled.floats, shared=True)
        if lists not in compiled.rank:
            replicated = NamedSharding(self._mesh, P())
            compiled.rank[lists] = jax.jit(self._share_ranker(shares, lists), out_shardings=replicated)
        return host_blocks, compiled.rank[lists](params, ctx, self._lists, blocks)

    def _check(self, part: Part) -> None:
        if not self.config.k or min(self.config.k) < 1:
            raise UserError(f"eval.k: {self.config.k} is not a list of cut-offs; allowed: whole numbers from 1")
        if max(self.config.k) > self.users.num_items:
            raise UserError(
                f"eval.k: {max(self.config.k)} is larger than the catalogue of {self.users.num_items} items"
            )
        if not len(self.users.user_ids):
            raise UserError(f"data.split: the {part} part holds no interaction, so there is nothing to rank")

    def _put(self, array: np.ndarray, spec: P) -> jax.Array:
        # From a callback, so that it also works where some devices belong to other processes.
        return jax.make_array_from_callback(array.shape, NamedSharding(self._mesh, spec), lambda index: array[index])

    def _blocks_for(self, floats: int, shared: bool) -> tuple[UserBlocks, UserBlocks]:
        """Blocks on the host and on the devices, where one user takes so many numbers of the memory.

        shared: every device has all blocks, which are longer, since it has only its share of their scores.
        """
        if (floats, shared) not in self._blocks:
            devices = self._mesh.devices.size
            size = block_size(self.users, floats, self.config.memory_budget_mb, devices)
            host = user_blocks(self.users, size * devices, 1) if shared else user_blocks(self.users, size, devices)
            spec = P() if shared else P(self._mesh.axis_names)
            self._blocks[floats, shared] = host, UserBlocks(*(self._put(array, spec) for array in host))
        return self._blocks[floats, shared]

    def _ranker(self, model: Scorer, lists: bool) -> Callable[..., tuple[jax.Array, ...]]:
        """All blocks of users, spread over the mesh: ranks, and with lists also scores and items."""
        users, length = self.users, self._list_length
        num_ranks, last_k = self._num_ranks()
        width = block_width(users.num_items, length) if lists else 1

        def rank_blocks(encoded: Encoded, items: ItemVectors | None, flat: _Lists, blocks: UserBlocks):
            padding = -users.num_items % width
            padded = pad_items(items, padding)

            def rank_block(block: UserBlocks) -> tuple[jax.Array, ...]:
                batch = {"user_ids": block.user_ids, "mask": block.mask}
                scores = block_scores(model, encoded, padded, batch, padding)
                targets = Ragged(flat.target_items, block.target_start, block.target_count)
                masked = Ragged(flat.masked_items, block.masked_start, block.masked_count)
                ranks = ranks_of_targets(scores, targets, masked, num_ranks, last_k)
                if not lists:
                    return (ranks,)
                return ranks, *exact_top_k(mask_scores(scores, masked), length, width)

            return lax.map(rank_block, blocks)

        blocked = P(self._mesh.axis_names)
        return jax.shard_map(
            rank_blocks, mesh=self._mesh, in_specs=(P(), P(), P(), blocked), out_specs=blocked, check_vma=False
        )

    def _share_ranker(self, shares: SharesOf, lists: bool) -> Callable[..., tuple[jax.Array, ...]]:
        """All blocks of users in turn, the items spread over the mesh; results as `_ranker`."""
        share, (num_ranks, last_k) = shares.share, self._num_ranks()

        def rank(vectors: jax.Array, items: ItemVectors, flat: _Lists, block: UserBlocks) -> tuple[jax.Array, ...]:
            scores = all_scores(vectors, items.vectors, items.bias)
            targets = Ragged(flat.target_items, block.target_start, block.target_count)
            masked = Ragged(flat.masked_items, block.masked_start, block.masked_count)
            ranks = ranks_of_targets(scores, targets, masked, num_ranks, last_k, share)
            if not lists:
                return (ranks,)
            return ranks, *top_k_of_shares(mask_scores(scores, masked, share), self._list_length, share)

        by_row, specs = P(share.axes), (P(), P(share.axes), P(), P())
        results = (P(), by_row, by_row) if lists else (P(),)
        rank_shares = jax.shard_map(rank, mesh=shares.mesh, in_specs=specs, out_specs=results, check_vma=False)

        def rank_blocks(params: Params, ctx: Context, flat: _Lists, blocks: UserBlocks) -> tuple[jax.Array, ...]:
            encoded = shares.encode(params, ctx)
            items = shares.item_vectors(encoded, self.users.num_items)

            def rank_block(block: UserBlocks) -> tuple[jax.Array, ...]:
                vectors = shares.user_vectors(encoded, ctx, block.user_ids, block.mask)
                return rank_shares(vectors, items, flat, block)

            return lax.map(rank_block, blocks)

        return rank_blocks

    def _num_ranks(self) -> tuple[int, int]:
        """Ranks that are kept of a user, and the last cut-off."""
        last_k = max(self.config.k)
        return min(int(self.users.num_targets.max()), last_k), last_k
