"""Training pairs read from shards: every process reads its share of a batch; the devices exchange what they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxrec.data.batch import Batch
from jaxrec.data.blocks import EpochBlocks
from jaxrec.data.dataset import Dataset
from jaxrec.data.shards.blocks import ShardBlocks
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.train.config import TrainConfig
from jaxrec.train.input import BlockInput, Call, Place
from jaxrec.train.sequence_input import over_devices
from jaxrec.train.step import steps_per_epoch


class ShardInput(BlockInput):
    """Blocks that ShardBlocks reads; on a mesh each device is given its columns of them."""

    @property
    def blocks(self) -> EpochBlocks:
        """What reads the shards."""
        return self._blocks

    def compile(self, model, optimizer, seed, state, ctx, state_shardings, place) -> Call:
        """See jaxrec.train.input.TrainingInput."""
        return super().compile(model, optimizer, seed, state, ctx, state_shardings, _placed(ctx.mesh, place))


def make_shard_input(
    dataset: Dataset, config: TrainConfig, seed: int, notice: Callable[[str], None], model_config: Any
) -> ShardInput:
    """The input of a data folder of shards. Raises UserError where there is none, or the model reads no pairs."""
    shards = dataset.shards
    if shards is None:
        raise UserError(
            "train.input: found shards, but data.path is no folder of them; allowed: auto, device, blocks, or a folder "
            "that jaxrec.prepare --shards wrote"
        )
    if getattr(model_config, "input", "pairs") != "pairs":
        raise UserError(
            f"model.name: found {model_config.name}, which reads sequences, but {shards.folder} holds shards of pairs; "
            "allowed: models of pairs, such as bprmf and lightgcn"
        )
    degrees = np.diff(shards.positives()[0])
    full = int(np.count_nonzero(degrees == dataset.num_items))
    if full:
        notice(f"{full} users have every item of the catalogue: no negative exists, so they are not trained on")
    if full == np.count_nonzero(degrees):
        raise UserError("data: every user has every item of the catalogue, so there is nothing to rank")
    block_steps = max(1, min(64, steps_per_epoch(shards.num_pairs, config.batch_size)))
    process = jax.process_index(), jax.process_count()
    blocks = ShardBlocks(shards, dataset.num_items, config.batch_size, block_steps, seed, process, config.input_workers)
    return ShardInput(blocks, shards.num_pairs, config.batch_size, _shared_out)


def _shared_out(batch: Batch, ctx: Context) -> Batch:
    """Rows over the mesh's "data" axis; on every device of the "model" axis, whose devices each need all of them."""
    if ctx.mesh is None:
        return batch
    if ctx.mesh.shape["data"] > 1:
        return over_devices(batch, ctx)
    whole = NamedSharding(ctx.mesh, PartitionSpec())
    return jax.tree.map(lambda values: jax.lax.with_sharding_constraint(values, whole), batch)


def _placed(mesh: jax.sharding.Mesh | None, place: Place) -> Place:
    """Puts blocks [K, this process's columns] on the mesh, each device its own; all else as `place` does."""
    if mesh is None:
        return place
    sharding = NamedSharding(mesh, PartitionSpec(None, mesh.axis_names))

    def of_block(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return place(tree)
        columns = next(iter(tree.values())).shape[1] * jax.process_count()
        if columns % mesh.size:
            if jax.process_count() == 1:
                return place(tree)
            raise UserError(
                f"train.batch_size: found {columns}, which {mesh.size} devices of {jax.process_count()} processes "
                f"cannot share; allowed: multiples of {mesh.size}"
            )
        return {name: jax.make_array_from_process_local_data(sharding, values) for name, values in tree.items()}

    return of_block
