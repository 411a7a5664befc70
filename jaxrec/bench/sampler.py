"""An epoch of BPR triples (810,000 in full): on the device, streamed in blocks, and by a PyTorch DataLoader."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.bench.peer import Peer
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import LightGCNWorkload, interaction_pairs, lightgcn_workload
from jaxrec.data.blocks import TripleBlocks
from jaxrec.nn.graph import Graph, build_graph
from jaxrec.nn.negative_sampling import sample_negatives
from jaxrec.nn.permutation import permute_indices

DESCRIPTION = "an epoch of 810,000 BPR triples, on the device and in blocks, against a PyTorch DataLoader"
DEVICE, BLOCKS, PYTHON = "jaxrec device", "jaxrec blocks", "Python loop with rejection"
LOADERS = {"torch DataLoader, 0 workers": 0, "torch DataLoader, 2 workers": 2}
BLOCK_STEPS = 64
# A second or more a repetition, and the slowest of all by far: a part of an epoch, scaled to all of it.
PYTHON_SHARE = 8


def run(settings: Settings) -> dict:
    """Seconds an epoch; no negative may be a positive."""
    workload = lightgcn_workload(settings.scale)
    users, items = interaction_pairs(workload)
    graph = build_graph(users, items, workload.num_users, workload.num_items, backend="bcsr")
    device = device_sampler(workload, graph, users, items)
    blocks = TripleBlocks(
        users,
        items,
        graph.user_indptr,
        graph.user_items,
        workload.num_items,
        workload.batch_size,
        BLOCK_STEPS,
        seed=0,
    )
    epochs = {"device": 0, "blocks": 0}
    last: dict[str, np.ndarray] = {}

    def sample_on_device() -> None:
        epochs["device"] += 1
        last["device"] = jax.block_until_ready(device(jax.random.key(epochs["device"])))

    def sample_blocks() -> None:
        steps = blocks.steps_per_epoch
        kept = []
        for block in blocks.iterate(epochs["blocks"] * steps):
            kept.append(np.stack([block["user_ids"], block["negative_item_ids"]])[:, block["mask"]])
            steps -= block["num_steps"]
            if not steps:
                break
        epochs["blocks"] += 1
        last["blocks"] = np.concatenate(kept, axis=1)

    rng = np.random.default_rng(0)
    share = slice(0, len(users) // PYTHON_SHARE)
    positives = [set(row.tolist()) for row in np.split(graph.user_items, graph.user_indptr[1:-1])]
    variants = {
        DEVICE: sample_on_device,
        BLOCKS: sample_blocks,
        PYTHON: lambda: python_rejection(users[share], positives, workload.num_items, rng),
    }
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            path = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "pairs.npz"
            np.savez(path, user_ids=users, item_ids=items, num_items=workload.num_items, batch_size=workload.batch_size)
            peer = stack.enter_context(Peer(settings.torch_python, "torch_sampler.py", str(path)))
            for name, workers in LOADERS.items():
                variants[name] = lambda workers=workers: peer.ask(workers=workers)["seconds"]
        times = interleave(variants, settings, per={PYTHON: 1 / PYTHON_SHARE})
    faster = ratios(times, DEVICE)
    blocks_faster = ratios(times, BLOCKS)
    keys = users.astype(np.int64) * workload.num_items + items
    checks = {
        f"{name}: no negative is a positive": not np.isin(
            np.asarray(pairs[0], np.int64) * workload.num_items + np.asarray(pairs[1]), keys
        ).any()
        for name, pairs in last.items()
    }
    return {
        "unit": "seconds an epoch",
        "triples": len(users),
        "variants": times,
        "ratios": faster,
        "blocks_ratios": blocks_faster,
        "checks": checks,
    }


def device_sampler(workload: LightGCNWorkload, graph: Graph, users: np.ndarray, items: np.ndarray):
    """A compiled epoch of triples: shuffled pairs, and negatives batch by batch as a training step draws them."""
    max_degree = int(np.diff(graph.user_indptr).max())
    graph, (users, items) = jax.device_put((graph, (users, items)))
    steps, batch = workload.steps_per_epoch, workload.batch_size

    @jax.jit
    def sample(rng, graph, users, items):
        of_order, of_negatives = jax.random.split(rng)

        def one_step(step):
            positions = jnp.minimum(step * batch + jnp.arange(batch), users.shape[0] - 1)
            chosen = permute_indices(of_order, positions, users.shape[0])
            drawn = sample_negatives(
                jax.random.fold_in(of_negatives, step),
                users[chosen],
                graph.user_indptr,
                graph.user_items,
                workload.num_items,
                max_degree=max_degree,
            )
            return users[chosen], drawn, items[chosen]

        return jax.lax.map(one_step, jnp.arange(steps))

    return lambda rng: sample(rng, graph, users, items)


def python_rejection(users: np.ndarray, positives: list[set[int]], num_items: int, rng: np.random.Generator) -> list:
    """A negative a pair, drawn until it is none of the user's: the loop that many training scripts hold."""
    negatives = []
    for user in users:
        negative = rng.integers(0, num_items)
        while negative in positives[user]:
            negative = rng.integers(0, num_items)
        negatives.append(negative)
    return negatives
