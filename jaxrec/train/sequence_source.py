"""What a sequence model learns from: events and where sequences or targets lie in them, on the host or the devices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import numpy as np

from jaxrec.data.blocks import EpochBlocks, HostNegatives
from jaxrec.data.dataset import Dataset, positives_csr
from jaxrec.data.interactions import Interactions
from jaxrec.data.sequence_blocks import StreamBlocks, TargetBlocks
from jaxrec.data.sequence_rows import Sequences, sequences_of
from jaxrec.data.sequence_stream import training_stream
from jaxrec.data.training_targets import TrainingTargets, training_targets
from jaxrec.errors import UserError
from jaxrec.nn.attention import stream_blocks

MAX_ROWS = 8
"""Rows of a stream's batch, which devices may share; their number is no matter of how many devices there are."""


@dataclasses.dataclass(frozen=True)
class SequenceShape:
    """What decides the shapes of batches. max_length: longest history. num_negatives: 0 where the loss wants none."""

    batch_size: int
    max_length: int
    num_negatives: int = 0

    @property
    def num_rows(self) -> int:
        """Rows of a stream's batch: the largest divisor of batch_size up to MAX_ROWS that is a power of two."""
        return math.gcd(self.batch_size, MAX_ROWS)

    @property
    def width(self) -> int:
        """Targets of a row."""
        return self.batch_size // self.num_rows

    @property
    def context(self) -> int:
        """Places before a row's first target."""
        num_blocks, block = stream_blocks(self.width, self.max_length)
        return num_blocks * block - self.width


@flax.struct.dataclass
class Positives:
    """The items of every user, sorted, from which negatives are told. indptr: [U + 1], items: [n] int32."""

    indptr: Any
    items: Any


@flax.struct.dataclass
class StreamSource:
    """Sequences on the devices, and positives where negatives are wanted."""

    sequences: Sequences
    positives: Positives | None


@flax.struct.dataclass
class TargetSource:
    """Targets on the devices (TrainingTargets, its arrays as leaves), and positives where negatives are wanted."""

    user_ids: Any
    item_ids: Any
    starts: tuple[Any, ...]
    ends: tuple[Any, ...]
    events: tuple[Any, ...]
    positives: Positives | None


def sequence_source(
    dataset: Dataset, model_config: Any, batch_size: int, notice: Callable[[str], None]
) -> tuple[StreamSource | TargetSource, SequenceShape]:
    """What a sequence model's config asks for: config.input "stream" or "targets", of histories up to max_length.

    Where the config has them: merged, events of all behaviours in one stream; num_negatives of each target, for which
    users who have every item are left out with a notice. Raises UserError where no sequence has a target.
    """
    shape = SequenceShape(batch_size, model_config.max_length, getattr(model_config, "num_negatives", 0))
    merged = getattr(model_config, "merged", False)
    positives, keep = None, np.ones(dataset.num_users, bool)
    if shape.num_negatives:
        positives = _positives(dataset, merged)
        keep = np.diff(positives.indptr) < dataset.num_items
        if not keep.all():
            notice(
                f"{int((~keep).sum())} users have every item of the catalogue: no negative exists, so they are left out"
            )
    if model_config.input == "stream":
        sequences = sequences_of(training_stream(dataset, shape.max_length, merged), keep)
        source, found = StreamSource(sequences, positives), len(sequences.counts)
    else:
        targets = training_targets(dataset, shape.max_length)
        rows = keep[targets.user_ids]
        source = TargetSource(
            targets.user_ids[rows],
            targets.item_ids[rows],
            tuple(starts[rows] for starts in targets.starts),
            tuple(ends[rows] for ends in targets.ends),
            targets.events,
            positives,
        )
        found = len(source.user_ids)
    if not found:
        raise UserError("data: every user has every item of the catalogue, so there is nothing to rank")
    return source, shape


def _positives(dataset: Dataset, merged: bool) -> Positives:
    """Items of each user's training part; merged: of the other behaviours, too."""
    indptr, items = positives_csr(dataset.train, dataset.num_users)
    if merged and dataset.auxiliary is not None:
        train, auxiliary = dataset.train, dataset.auxiliary
        both = Interactions(
            np.concatenate([train.user_ids, auxiliary.user_ids]),
            np.concatenate([train.item_ids, auxiliary.item_ids]),
            train.users,
            train.items,
        )
        indptr, items = positives_csr(both, dataset.num_users)
    return Positives(indptr, items)


def count_targets(source: StreamSource | TargetSource) -> int:
    """Targets of an epoch."""
    return int(source.sequences.counts.sum()) if isinstance(source, StreamSource) else len(source.user_ids)


def sequence_blocks(
    source: StreamSource | TargetSource, shape: SequenceShape, num_items: int, block_steps: int, seed: int
) -> EpochBlocks:
    """The same batches, in an order of the host's own, made there and streamed by Grain."""
    negatives = None
    if source.positives is not None:
        negatives = HostNegatives(source.positives.indptr, source.positives.items, num_items, seed)
    wanted = {"negatives": negatives, "num_negatives": shape.num_negatives}
    if isinstance(source, StreamSource):
        rows = (shape.num_rows, shape.width, shape.context, shape.max_length)
        return StreamBlocks(source.sequences, *rows, block_steps, seed, **wanted)
    targets = TrainingTargets(source.user_ids, source.item_ids, source.starts, source.ends, source.events)
    return TargetBlocks(targets, shape.max_length, shape.batch_size, block_steps, seed, **wanted)
