"""A training step of M3BSR with the softmax over Kuaishou's 618,529 items, by parts or with all scores at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.data.batch import Batch
from jaxrec.models.base import Context
from jaxrec.models.m3bsr import M3BSR, M3BSRConfig
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.train.state import first_state
from jaxrec.train.step import make_block_loop

DESCRIPTION = "an M3BSR step (618,529 items, batch 128, d 128, T 15), softmax by parts or with all scores at once"
OURS, PLAIN = "jaxrec", "all scores at once"
STEPS_PER_CALL = 4
STEPS_PER_EPOCH = 179
"""Of Kuaishou's 22,793 users, one target each."""
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class M3BSRWorkload:
    """Two behaviours, two modalities of `width` numbers an item, random events."""

    num_users: int = 22_793
    num_items: int = 618_529
    batch_size: int = 128
    width: int = 64
    config: M3BSRConfig = dataclasses.field(default_factory=M3BSRConfig)

    def batches(self) -> Batch:
        """[STEPS_PER_CALL, B, ...]."""
        rng, shape = np.random.default_rng(0), (STEPS_PER_CALL, self.batch_size)
        events = rng.integers(1, self.num_items + 1, (2, *shape, self.config.max_length))
        return {
            "user_ids": rng.integers(0, self.num_users, shape).astype(np.int32),
            "target_item_ids": rng.integers(0, self.num_items, shape).astype(np.int32),
            "mask": np.ones(shape, bool),
            "histories": tuple(events.astype(np.int32)),
        }

    def context(self) -> Context:
        """What items are; histories stand for the behaviours alone, since batches bring their own."""
        keys = dict(zip(("image", "text"), jax.random.split(jax.random.key(1)), strict=True))
        return Context(
            histories=(jnp.zeros((1, 1), jnp.int32),) * 2,
            item_features={name: jax.random.normal(key, (self.num_items, self.width)) for name, key in keys.items()},
            item_feature_masks={name: jnp.ones(self.num_items, bool) for name in keys},
            item_fields={},
            item_counts=jnp.ones(self.num_items, jnp.int32),
        )


WORKLOADS = {
    "full": M3BSRWorkload(),
    "small": M3BSRWorkload(
        50, 2003, 8, 8, M3BSRConfig(dim=16, id_dim=4, max_length=6, num_layers=1, num_heads=2, dropout=0.0)
    ),
}


def run(settings: Settings) -> dict:
    """Seconds a step. The paper's form has all scores at once; no PyTorch port stands beside it. Losses compared."""
    workload = WORKLOADS[settings.scale]
    ctx, block = workload.context(), jax.device_put(workload.batches())
    # No part is as small as the catalogue at small scale unless it is told to be.
    parts = None if settings.scale == "full" else 256
    chunks = {OURS: parts, PLAIN: workload.num_items}
    variants, programs, losses, sizes = {}, {}, {}, {}
    for name, chunk in chunks.items():
        config = dataclasses.replace(workload.config, loss=ItemLossConfig(chunk=chunk))
        model = M3BSR(config, workload.num_users, workload.num_items)
        variants[name], losses[name], programs[name], sizes[name] = _training(model, ctx, block)
    times = interleave(variants, settings, per=dict.fromkeys(variants, STEPS_PER_CALL))
    return {
        "unit": "seconds a step",
        "variants": times,
        "ratios": ratios(times, OURS),
        "programs": programs,
        "work": work_entry({OURS: least(workload, sizes[OURS])}),
        "memory_ratio": programs[PLAIN]["temporary_bytes"] / programs[OURS]["temporary_bytes"],
        "epoch_seconds": STEPS_PER_EPOCH * times[OURS]["median"],
        "losses": losses,
        "checks": {"losses equal": abs(losses[OURS] - losses[PLAIN]) <= TOLERANCE * losses[PLAIN]},
    }


def least(workload: M3BSRWorkload, num_parameters: int) -> Work:
    """Scores of all items and by them the gradients of rows and table; Adam reads four arrays and writes three."""
    table = workload.num_items * workload.config.dim
    return Work(6.0 * workload.batch_size * table + 12.0 * num_parameters, 28.0 * num_parameters + 8.0 * table)


def _training(model: M3BSR, ctx: Context, block: Batch) -> tuple[Callable[[], None], float, dict[str, Any], int]:
    """A call that goes on by STEPS_PER_CALL steps, the mean loss of the first, what it costs, and the parameters."""
    optimizer = optax.adam(1e-3)
    init = jax.jit(first_state, static_argnums=(0, 1, 3))
    state = init(model, optimizer, ctx, 0)
    loop = jax.jit(make_block_loop(model, optimizer, 0), donate_argnums=0)
    steps = jnp.int32(STEPS_PER_CALL)
    compiled, program = compile_timed(loop, state, steps, block, ctx)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    carried, progress = compiled(state, steps, block, ctx)
    held = [carried]

    def call() -> None:
        held[0], _ = compiled(held[0], steps, block, ctx)
        jax.block_until_ready(held[0])

    return call, float(progress.sums["loss"]) / STEPS_PER_CALL, program, num_parameters
