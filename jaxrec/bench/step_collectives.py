"""What a LightGCN step says on eight simulated devices: features shared out, or nodes, left to the compiler."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal

from jaxrec.bench.settings import Settings
from jaxrec.bench.simulated_devices import ask_on_devices

DESCRIPTION = "bytes that a LightGCN step (Gowalla's size) says on 8 simulated devices, from its compiled program"
FEATURES, NODES = "jaxrec, features shared out", "nodes shared out by the compiler"
DEVICES = 8


def run(settings: Settings) -> dict:
    """Nothing is timed: the compiled programs' collectives, memory and kernels, which do not vary."""
    programs = ask_on_devices(DEVICES, "jaxrec.bench.step_collectives", settings.scale)
    return {"unit": "bytes a step", "variants": {}, "ratios": {}, "programs": programs, "checks": {}}


def compile_steps(scale: str) -> dict[str, dict[str, Any]]:
    """Each form's step (forward, backward and Adam) compiled for all devices; nothing is run."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax.sharding import NamedSharding, PartitionSpec

    from jaxrec.bench.program import compile_timed
    from jaxrec.bench.synthetic import interaction_pairs, lightgcn_workload
    from jaxrec.models.base import Context
    from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
    from jaxrec.nn.graph import build_graph
    from jaxrec.train.config import DevicesConfig
    from jaxrec.train.mesh import PartitionRules, make_mesh
    from jaxrec.train.state import abstract_state
    from jaxrec.train.step import make_update

    workload = lightgcn_workload("small" if scale == "small" else "full")
    users, items = interaction_pairs(workload)
    config = LightGCNConfig(dim=workload.dim, num_layers=workload.num_layers)
    # Rows come in equal parts only where the devices divide their number: up to seven items more, without edges.
    num_items = workload.num_items + -(workload.num_users + workload.num_items) % DEVICES
    model = LightGCN(config, workload.num_users, num_items)
    optimizer = optax.adam(workload.learning_rate)
    mesh = make_mesh(DevicesConfig(), config.mesh_axis)
    assert mesh is not None
    everywhere = NamedSharding(mesh, PartitionSpec())

    def shapes(tree: Any) -> Any:
        """Shapes in place of arrays, on every device."""
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), tree)

    ids = jax.ShapeDtypeStruct((workload.batch_size,), jnp.int32, sharding=everywhere)
    mask = jax.ShapeDtypeStruct((workload.batch_size,), jnp.bool_, sharding=everywhere)
    batch = {"user_ids": ids, "item_ids": ids, "negative_item_ids": ids, "mask": mask}
    by_nodes = (("embedding$", PartitionSpec("model", None)),)
    programs = {}
    forms: tuple[tuple[str, PartitionRules, Literal["auto", "jraph"], jax.sharding.Mesh | None], ...] = (
        (FEATURES, config.partition_rules, "auto", mesh),
        (NODES, by_nodes, "jraph", None),
    )
    for name, rules, backend, known in forms:
        graph = build_graph(users, items, workload.num_users, num_items, backend=backend)
        ctx = Context(graph=shapes(graph), mesh=known)
        state = abstract_state(model, optimizer, ctx, 0, rules, mesh)
        places = jax.tree.map(lambda leaf: leaf.sharding, state)
        step = jax.jit(make_update(model, optimizer, 0), donate_argnums=0, out_shardings=(places, None))
        _, programs[name] = compile_timed(step, state, batch, ctx)
    return programs


def main() -> None:
    """In the process that sees the devices."""
    sys.stdout.write(json.dumps(compile_steps(sys.argv[1])) + "\n")


if __name__ == "__main__":
    main()
