"""Batches of sequences in blocks, streamed by Grain, for events that do not fit the device (jaxrec.data.blocks)."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from jaxrec.data.blocks import EpochBlocks, HostNegatives
from jaxrec.data.sequence_rows import OrderedSequences, Sequences, stream_rows, target_rows
from jaxrec.data.training_targets import TrainingTargets


class StreamBlocks(EpochBlocks):
    """Blocks of a stream's batches (jaxrec.data.batch, all positions), every array [K, R, ...].

    sequences: on the host, NumPy arrays or memory maps. num_rows x width targets a batch behind `context` places a row,
    as jaxrec.data.sequence_rows has them. negatives: where the loss wants num_negatives of each target.
    """

    def __init__(
        self,
        sequences: Sequences,
        num_rows: int,
        width: int,
        context: int,
        max_length: int,
        block_steps: int,
        seed: int,
        negatives: HostNegatives | None = None,
        num_negatives: int = 0,
    ) -> None:
        num_targets = int(sequences.counts.sum())
        super().__init__(num_targets, len(sequences.counts), num_rows * width, block_steps, seed)
        self._sequences, self._shape = sequences, (num_rows, width, context, max_length)
        self._negatives, self._num_negatives = negatives, num_negatives
        self._ordered = functools.lru_cache(maxsize=2)(self._make_ordered)

    def _make_ordered(self, epoch: int) -> OrderedSequences:
        return self._sequences.ordered(self._order(epoch), np)

    def _batches(self, epoch: int, first: int, num_steps: int) -> dict[str, Any]:
        num_rows, width, context, max_length = self._shape
        # The rows of one batch after another are consecutive, so that a block is one large batch.
        all_rows = num_rows * self._block_steps
        block = stream_rows(self._ordered(epoch), first * self._batch_size, all_rows, width, context, max_length, np)
        batches = jax.tree.map(lambda rows: rows.reshape(-1, num_rows, rows.shape[-1]), block)
        if self._negatives is not None:
            users = np.repeat(batches["user_ids"][..., context:, None], self._num_negatives, axis=-1)
            batches["negative_item_ids"] = self._negatives.draw(epoch * self.steps_per_epoch + first, users)
        return batches


class TargetBlocks(EpochBlocks):
    """Blocks of batches of one target each (jaxrec.data.batch), every array [K, B, ...].

    targets: NumPy arrays or memory maps. negatives: where the loss wants num_negatives of each target.
    """

    def __init__(
        self,
        targets: TrainingTargets,
        max_length: int,
        batch_size: int,
        block_steps: int,
        seed: int,
        negatives: HostNegatives | None = None,
        num_negatives: int = 0,
    ) -> None:
        super().__init__(len(targets), len(targets), batch_size, block_steps, seed)
        self._targets, self._max_length = targets, max_length
        self._negatives, self._num_negatives = negatives, num_negatives

    def _batches(self, epoch: int, first: int, num_steps: int) -> dict[str, Any]:
        chosen, mask = self._chosen(epoch, first, num_steps)
        flat = target_rows(self._targets, chosen.reshape(-1), mask.reshape(-1), self._max_length, np)
        batches = jax.tree.map(lambda rows: rows.reshape(*chosen.shape, *rows.shape[1:]), flat)
        if self._negatives is not None:
            users = np.repeat(batches["user_ids"][..., None], self._num_negatives, axis=-1)
            batches["negative_item_ids"] = self._negatives.draw(epoch * self.steps_per_epoch + first, users)
        return batches
