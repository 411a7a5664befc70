"""How fast this machine reads memory: the limit of whatever reads each weight once a token."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PASSES = 16
"""A short read measures how a busy machine is shared out: one of 0.1 s found less speed than the decoder had."""


def readers(num_bytes: int) -> dict[str, Callable[[], Any]]:
    """Ways to read an array of so many bytes, far more than a cache holds, PASSES times; the fastest is the limit.

    An accelerator reads in one compiled reduction. On a CPU all cores read a part each in NumPy, or one reads it all:
    which is faster depends on what else runs.
    """
    if jax.default_backend() != "cpu":
        array = jnp.ones(num_bytes // 4, jnp.float32)
        largest = jax.jit(jnp.max)
        return {"reading memory": lambda: [largest(array).block_until_ready() for _ in range(PASSES)]}
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    whole = np.ones(num_bytes // 4, np.float32)
    parts = np.array_split(whole, cores)
    pool = concurrent.futures.ThreadPoolExecutor(cores)
    return {
        "reading memory, all cores": lambda: [list(pool.map(np.max, parts)) for _ in range(PASSES)],
        "reading memory, one core": lambda: [whole.max() for _ in range(PASSES)],
    }
