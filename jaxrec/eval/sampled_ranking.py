"""Ranking of one target among 99 sampled items: the protocol of many papers, much easier than the whole catalogue."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.candidates import NUM_NEGATIVES, draw_candidates
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.metrics import BEYOND, all_metrics, mean_metrics
from jaxrec.eval.ranking import Evaluation
from jaxrec.eval.scoring import DirectScorer, Scorer, encode
from jaxrec.eval.users import Part
from jaxrec.models.base import Context, Encoded, ItemVectors, Params

BLOCK = 512
"""Users that are scored at once on a device."""


class SampledRanking:
    """Ranks each user's target of one part among 99 items that the user never had.

    Ties are pessimistic: an item with the target's score stands before it, and so does one that is NaN. Where the
    target stands among the candidates does not matter. Raises UserError where a user has several targets, and for a
    cut-off above 100.
    """

    def __init__(self, dataset: Dataset, part: Part, config: EvalConfig, mesh: Mesh | None = None) -> None:
        if max(config.k) > NUM_NEGATIVES + 1:
            raise UserError(f"eval.k: {max(config.k)} is larger than the {NUM_NEGATIVES + 1} candidates of sampled99")
        self.config = config
        self.candidates = draw_candidates(dataset, part, config.candidates_seed)
        if not len(self.candidates.user_ids):
            raise UserError(f"data.split: the {part} part holds no interaction, so there is nothing to rank")
        self._mesh = mesh if mesh is not None else Mesh(np.asarray(jax.local_devices()[:1]), ("data",))
        self._blocks = self._make_blocks()
        self._compiled: dict[int, tuple[Scorer, Callable[..., tuple], Callable[..., jax.Array]]] = {}

    @property
    def num_candidates(self) -> np.ndarray:
        """Items that each user's ranking holds, the target included, [n] int."""
        return 1 + np.count_nonzero(self.candidates.negative_ids >= 0, axis=1)

    @property
    def num_targets(self) -> np.ndarray:
        """One each, [n] int."""
        return np.ones(len(self.candidates.user_ids), np.int32)

    def evaluate(self, model: Scorer, params: Params, ctx: Context, *, lists: bool = False) -> Evaluation:
        """Metrics of the model. lists: there are none of 100 sampled items."""
        if id(model) not in self._compiled:
            # By identity: the entry holds the model, so that its id is not given to another.
            spread = NamedSharding(self._mesh, P())
            ranks = jax.jit(self._ranker(model), out_shardings=spread)
            self._compiled[id(model)] = model, jax.jit(functools.partial(encode, model)), ranks
        _, compiled_encode, rank = self._compiled[id(model)]
        encoded, items = jax.device_put(compiled_encode(params, ctx), NamedSharding(self._mesh, P()))
        users = self.candidates.user_ids
        ranks = np.asarray(rank(encoded, items, self._blocks)).reshape(-1)[: len(users), None]
        ranks = np.where(ranks <= max(self.config.k), ranks, BEYOND)
        per_user = all_metrics(ranks, self.num_targets, self.config.k)
        return Evaluation(
            metrics=mean_metrics(per_user),
            per_user=per_user,
            user_ids=users,
            num_users=len(users),
            num_users_without_target=self.candidates.num_without_target,
            masked=(),
        )

    def _make_blocks(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Users [blocks, B], whether they are real, and their candidates [blocks, B, 100], the target first."""
        drawn, devices = self.candidates, self._mesh.devices.size
        size = min(BLOCK, -(-len(drawn.user_ids) // devices))
        num_blocks = -(-len(drawn.user_ids) // (size * devices)) * devices
        padding = num_blocks * size - len(drawn.user_ids)
        items = np.concatenate([drawn.target_ids[:, None], drawn.negative_ids], axis=1)
        columns = (drawn.user_ids, np.ones(len(drawn.user_ids), bool), items)
        spec = NamedSharding(self._mesh, P(self._mesh.axis_names))

        def place(column: np.ndarray) -> jax.Array:
            padded = np.pad(column, [(0, padding), *[(0, 0)] * (column.ndim - 1)])
            blocked = padded.reshape(num_blocks, size, *column.shape[1:])
            return jax.make_array_from_callback(blocked.shape, spec, lambda index: blocked[index])

        users, mask, items = (place(column) for column in columns)
        return users, mask, items

    def _ranker(self, model: Scorer) -> Callable[..., jax.Array]:
        def rank_blocks(encoded: Encoded, items: ItemVectors | None, blocks: tuple) -> jax.Array:
            def rank_block(block: tuple) -> jax.Array:
                users, mask, candidates = block
                scores = _scores(model, encoded, items, {"user_ids": users, "mask": mask}, jnp.maximum(candidates, 0))
                target = scores[:, :1]
                before = ~(scores[:, 1:] < target) & (candidates[:, 1:] >= 0)
                rank = 1 + jnp.sum(before, axis=1, dtype=jnp.int32)
                return jnp.where(jnp.isfinite(target[:, 0]), rank, BEYOND)

            return lax.map(rank_block, blocks)

        blocked = P(self._mesh.axis_names)
        return jax.shard_map(
            rank_blocks, mesh=self._mesh, in_specs=(P(), P(), blocked), out_specs=blocked, check_vma=False
        )


def _scores(model: Scorer, encoded: Encoded, items: ItemVectors | None, batch: dict, item_ids: jax.Array) -> jax.Array:
    """[B, C] float32 of item_ids [B, C]; computed once, so that equal items score equally."""
    if isinstance(model, DirectScorer):
        return lax.optimization_barrier(model.score(encoded, batch, item_ids).astype(jnp.float32))
    assert items is not None
    users = model.user_vectors(encoded, batch).astype(jnp.float32)
    vectors = items.vectors[item_ids].astype(jnp.float32)
    products = jnp.einsum("bkd,bcd->bkc", users, vectors, precision=lax.Precision.HIGHEST)
    return lax.optimization_barrier(products.max(axis=1)) + items.bias[item_ids].astype(jnp.float32)
