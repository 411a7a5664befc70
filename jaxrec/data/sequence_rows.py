"""Batches of sequences out of flat events: one arithmetic for the device (jax.numpy) and for the host (NumPy).

A stream puts the sequences of all users one after the other, in an order of its own every epoch. Its places are the
targets, each with the event before it as input: nothing is padded and nothing is left out. A batch takes the next N
places, cut into rows of equal length wherever that falls; so that a target near the begin of its row sees its whole
sequence, a row begins with the max_length places or more before its first target, which are read and not learned from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxrec.data.batch import Batch
from jaxrec.data.sequence_stream import TrainingStream
from jaxrec.data.training_targets import TrainingTargets

Array = Any
"""numpy.ndarray or jax.Array."""


class Sequences(NamedTuple):
    """Sequences with a target, A of them: user_ids, starts, counts: [A] int32, where each begins in item_ids [n] int32
    and how many targets it has (one less than events)."""

    user_ids: Array
    starts: Array
    counts: Array
    item_ids: Array

    def ordered(self, order: Array, xp: Any) -> OrderedSequences:
        """The same in another order [A]."""
        counts = self.counts[order]
        return OrderedSequences(
            Sequences(self.user_ids[order], self.starts[order], counts, self.item_ids),
            xp.cumsum(counts, dtype=xp.int32),
        )


class OrderedSequences(NamedTuple):
    """Sequences in the order of an epoch; ends: [A] int32, the place in the stream behind each one's last target."""

    sequences: Sequences
    ends: Array


def sequences_of(stream: TrainingStream, keep: np.ndarray | None = None) -> Sequences:
    """The users of a stream who have a target; keep: mask [U] bool of those to keep."""
    counts = np.diff(stream.indptr) - 1
    users = np.flatnonzero(counts > 0 if keep is None else (counts > 0) & keep).astype(np.int32)
    return Sequences(users, stream.indptr[users], counts[users].astype(np.int32), stream.item_ids)


def stream_rows(
    ordered: OrderedSequences, first: Array, num_rows: int, width: int, context: int, max_length: int, xp: Any
) -> Batch:
    """The batch (jaxrec.data.batch, all positions) of places first to first + num_rows * width of an epoch's stream.

    first: the batch's first place; context: places before each row's targets. xp: numpy or jax.numpy.
    """
    (user_ids, starts, counts, item_ids), ends = ordered
    rows = xp.arange(num_rows, dtype=xp.int32)[:, None] * width + xp.arange(-context, width, dtype=xp.int32)[None, :]
    places = first + rows
    real = (places >= 0) & (places < ends[-1])
    inside = xp.clip(places, 0, ends[-1] - 1)
    sequence = xp.searchsorted(ends, inside.reshape(-1), side="right").reshape(inside.shape)
    offset = inside - (ends - counts)[sequence]
    event = starts[sequence] + offset
    return {
        "tokens": xp.where(real, item_ids[event] + 1, 0).astype(xp.int32),
        "segment_ids": xp.where(real, sequence, -1).astype(xp.int32),
        "positions": xp.where(real, max_length - counts[sequence] + offset, 0).astype(xp.int32),
        "user_ids": xp.where(real, user_ids[sequence], 0).astype(xp.int32),
        "target_item_ids": xp.where(real, item_ids[event + 1], 0).astype(xp.int32)[:, context:],
        "mask": real[:, context:],
    }


def target_rows(targets: TrainingTargets, chosen: Array, mask: Array, max_length: int, xp: Any) -> Batch:
    """The batch (jaxrec.data.batch, one target each) of the chosen targets [B]; mask: [B] bool, True = real."""
    return {
        "user_ids": targets.user_ids[chosen],
        "target_item_ids": targets.item_ids[chosen],
        "mask": mask,
        "histories": tuple(
            history_rows(starts[chosen], ends[chosen], events, max_length, xp)
            for starts, ends, events in zip(targets.starts, targets.ends, targets.events, strict=True)
        ),
    }


def history_rows(starts: Array, ends: Array, events: Array, max_length: int, xp: Any) -> Array:
    """[B, max_length] int32 of events[start:end] of each row, id + 1, the latest at the right, 0 to its left."""
    if not events.shape[0]:
        return xp.zeros((starts.shape[0], max_length), xp.int32)
    places = ends[:, None] + xp.arange(-max_length, 0, dtype=xp.int32)[None, :]
    inside = places >= starts[:, None]
    return xp.where(inside, events[xp.where(inside, places, 0)] + 1, 0).astype(xp.int32)
