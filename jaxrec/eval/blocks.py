"""Users in blocks of one size, so that one compiled body ranks them all within a memory budget."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrec.eval.users import RankedUsers

CPU_BLOCK_MB = 24
"""On a CPU, scores of a block that stay in the last-level cache are counted fastest."""


class UserBlocks(NamedTuple):
    """Every array is [blocks, B] int32 (mask: bool, True = real): a user and where its two lists lie.

    On the host NumPy arrays, on the devices the same in JAX arrays. row: the user's place in RankedUsers.
    """

    user_ids: Any
    mask: Any
    target_start: Any
    target_count: Any
    masked_start: Any
    masked_count: Any
    row: Any

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """Values [blocks, B, ...] of the blocks as [n, ...] in the order of RankedUsers, padding dropped."""
        ordered = np.empty((int(self.mask.sum()), *values.shape[2:]), values.dtype)
        ordered[self.row[self.mask]] = values[self.mask]
        return ordered


def block_size(users: RankedUsers, floats_per_user: int, memory_budget_mb: int, num_devices: int) -> int:
    """Users a block: as many as the budget of one device holds numbers of, and no more than it has users."""
    megabytes = min(memory_budget_mb, CPU_BLOCK_MB) if jax.default_backend() == "cpu" else memory_budget_mb
    fitting = (megabytes << 20) // (4 * floats_per_user)
    wanted = -(-len(users.user_ids) // num_devices)
    return max(1, min(fitting, wanted))


def user_blocks(users: RankedUsers, size: int, num_devices: int) -> UserBlocks:
    """Users with like numbers of targets and masked items side by side, blocks dealt to the devices in turn.

    A block's loops run as often as its longest list needs, so like beside like wastes nothing; dealing gives every
    device as many long blocks as the next. The number of blocks is a multiple of num_devices.
    """
    target_count, masked_count = np.diff(users.target_indptr), np.diff(users.masked_indptr)
    order = np.lexsort((masked_count, target_count)).astype(np.int32)
    num_blocks = -(-len(order) // size)
    num_blocks = -(-num_blocks // num_devices) * num_devices
    padded = np.full(num_blocks * size, -1, np.int32)
    padded[: len(order)] = order
    rows = padded.reshape(num_blocks, size)
    # Device d holds blocks d, d + num_devices, ...: sharding cuts the leading axis into consecutive pieces.
    rows = rows.reshape(-1, num_devices, size).swapaxes(0, 1).reshape(num_blocks, size)
    mask = rows >= 0

    def of_rows(values: np.ndarray) -> np.ndarray:
        return np.where(mask, values[rows], 0).astype(np.int32)

    return UserBlocks(
        user_ids=of_rows(users.user_ids),
        mask=mask,
        target_start=of_rows(users.target_indptr[:-1]),
        target_count=of_rows(target_count),
        masked_start=of_rows(users.masked_indptr[:-1]),
        masked_count=of_rows(masked_count),
        row=of_rows(np.arange(len(order))),
    )
