"""A step of BPR-MF on all visible devices: our mesh, the batch shared out under jit, and the same under jax.pmap."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxrec.bench.pmap_loop import make_pmap_loop, on_every_device, shared_out
from jaxrec.bench.program import compile_timed
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import LightGCNWorkload, interaction_pairs, lightgcn_workload, triple_batches
from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh, replicate, shardings
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import Progress, make_block_loop

DESCRIPTION = "a BPR-MF step (Gowalla's size) on all visible devices: features or batch shared out by jit, and jax.pmap"
OURS, BATCHES, PMAP = "jaxrec, features shared out", "jit, batch shared out", "jax.pmap, batch shared out"
STEPS_PER_CALL = 12
TOLERANCE = 1e-5


def run(settings: Settings) -> dict:
    """Seconds a step, and bytes of collectives in the compiled programs; losses and tables after a call compared."""
    case = DataParallelCase(lightgcn_workload(settings.scale))
    devices = case.num_devices
    if case.workload.batch_size % devices or case.workload.dim % devices:
        raise UserError(f"data_parallel_step: found {devices} devices, allowed: a divisor of batch and dimension")
    variants = {OURS: case.by_feature()} | ({BATCHES: case.by_batch()} if devices > 1 else {}) | {PMAP: case.by_pmap()}
    reference_loss, reference = variants[OURS].result()
    errors = {}
    for name, variant in variants.items():
        loss, tables = variant.result()
        errors[name] = {
            "loss": abs(loss - reference_loss) / abs(reference_loss),
            "tables": max(float(np.abs(tables[part] - reference[part]).max()) for part in reference),
        }
    times = interleave(variants, settings, per=dict.fromkeys(variants, STEPS_PER_CALL))
    return {
        "unit": "seconds a step",
        "devices": devices,
        "steps_per_call": STEPS_PER_CALL,
        "variants": times,
        "ratios": ratios(times, OURS),
        "programs": {name: variant.program for name, variant in variants.items()},
        "errors": errors,
        "checks": {
            "losses_equal": all(error["loss"] <= TOLERANCE for error in errors.values()),
            "tables_equal": all(error["tables"] <= TOLERANCE for error in errors.values()),
        },
    }


@dataclasses.dataclass
class Variant:
    """One form: a compiled call (state, *rest) -> (state, what it tells of losses), and how to read both."""

    compiled: jax.stages.Compiled
    program: dict[str, Any]
    new_state: Callable[[], Any]
    rest: tuple[Any, ...]
    mean_loss: Callable[[Any], float]
    whole: Callable[[jax.Array], jax.Array]
    state: Any = None

    def __call__(self) -> None:
        """Some more steps, from where the last call ended."""
        state = self.new_state() if self.state is None else self.state
        self.state, told = self.compiled(state, *self.rest)
        jax.block_until_ready((self.state, told))

    def result(self) -> tuple[float, dict[str, np.ndarray]]:
        """Mean loss of the first call, and the tables after it."""
        state, told = self.compiled(self.new_state(), *self.rest)
        tables = {name: np.asarray(self.whole(state.params[name]["embedding"])) for name in ("users", "items")}
        return self.mean_loss(told), tables


class DataParallelCase:
    """One workload's batches and first state, and its forms on all visible devices."""

    def __init__(self, workload: LightGCNWorkload) -> None:
        self.workload = workload
        self.num_devices = jax.device_count()
        config = BPRMFConfig(dim=workload.dim, regularization=workload.l2)
        self.model = BPRMF(config, workload.num_users, workload.num_items)
        self.optimizer = optax.adam(workload.learning_rate)
        triples = triple_batches(workload, *interaction_pairs(workload), STEPS_PER_CALL)
        users, positives, negatives = triples.transpose(1, 0, 2)
        self.block: Batch = {
            "user_ids": users,
            "item_ids": positives,
            "negative_item_ids": negatives,
            "mask": np.ones_like(users, bool),
        }

    def by_feature(self) -> Variant:
        """As `launch` does: every device a part of each embedding, and the whole batch."""
        mesh = make_mesh(DevicesConfig(), self.model.config.mesh_axis)
        return self._jit(mesh, self.model.config.partition_rules, PartitionSpec())

    def by_batch(self) -> Variant:
        """Every device the whole model, and a part of the batch; the compiler adds up the gradients."""
        mesh = jax.make_mesh((self.num_devices,), ("data",), axis_types=(AxisType.Auto,))
        return self._jit(mesh, (), PartitionSpec(None, "data"))

    def by_pmap(self) -> Variant:
        """The same written with jax.pmap."""
        loop = make_pmap_loop(self.model, self.optimizer)
        block = jax.tree.map(jnp.asarray, shared_out(self.block, self.num_devices))
        new_state = functools.partial(on_every_device, self._first_state(), self.num_devices)
        compiled, program = compile_timed(loop, new_state(), block, Context())
        if self.num_devices == 1:
            program["collective_bytes"] = 0  # an average over one device stays in the program and moves nothing
        rest = (block, Context())
        return Variant(
            compiled, program, new_state, rest, lambda losses: float(losses[0].mean()), lambda copies: copies[0]
        )

    def _first_state(self) -> TrainState:
        return first_state(self.model, self.optimizer, Context(), 0)

    def _jit(self, mesh: jax.sharding.Mesh | None, rules: Any, batch: PartitionSpec) -> Variant:
        state = self._first_state()
        places = shardings(state, rules, mesh)
        block = replicate(self.block, mesh)
        if mesh is not None:
            block = jax.device_put(self.block, NamedSharding(mesh, batch))
        count, ctx = replicate(np.int32(STEPS_PER_CALL), mesh), Context(mesh=mesh)
        loop = make_block_loop(self.model, self.optimizer, 0)
        jitted = jax.jit(loop, donate_argnums=0, out_shardings=(places, None))

        def new_state() -> TrainState:
            return jax.tree.map(lambda leaf, place: jax.device_put(np.asarray(leaf), place), state, places)

        compiled, program = compile_timed(jitted, new_state(), count, block, ctx)

        def mean_loss(progress: Progress) -> float:
            return float(progress.sums["loss"]) / STEPS_PER_CALL

        return Variant(compiled, program, new_state, (count, block, ctx), mean_loss, lambda table: table)
