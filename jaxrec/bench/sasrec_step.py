"""One SASRec training step at Beauty's size: a stream without padding against PyTorch's padded and packed rows."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrec.bench.peer_device import device_peer
from jaxrec.bench.program import compile_timed
from jaxrec.bench.roofline import Work, work_entry
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.data.batch import Batch
from jaxrec.data.sequence_rows import Sequences, stream_rows
from jaxrec.models.base import Context
from jaxrec.models.sasrec import SASRec, SASRecConfig
from jaxrec.train.sequence_input import SequenceInput
from jaxrec.train.sequence_source import SequenceShape, StreamSource
from jaxrec.train.state import TrainState, first_state
from jaxrec.train.step import make_update

DESCRIPTION = "a SASRec step (Beauty's size, softmax over all items), time per target, against PyTorch; same gradients"
OURS = "jaxrec stream"
STEPS_PER_CALL = 4
TOLERANCE = 1e-4
TORCH_VARIANTS = {
    "torch eager, padded": ("padded", False, 2),
    "torch.compile, padded": ("padded", True, 2),
    "torch eager, packed and masked": ("packed", False, 4),
    "torch.compile, packed and masked": ("packed", True, 4),
    "torch eager, one target a user": ("last", False, 4),
}


@dataclasses.dataclass(frozen=True)
class SASRecWorkload:
    """Users with 3 to max_length inputs, geometrically many, and items drawn by popularity."""

    num_items: int = 12_101
    batch_users: int = 256
    num_batches: int = 4
    max_length: int = 50
    seed: int = 0

    def sequences(self) -> list[np.ndarray]:
        """The events of every user, one more than inputs."""
        rng = np.random.default_rng(self.seed)
        lengths = np.clip(2 + rng.geometric(0.18, self.num_batches * self.batch_users), 3, self.max_length)
        popularity = (np.arange(self.num_items) + 30.0) ** -0.6
        popularity /= popularity.sum()
        return [rng.choice(self.num_items, length + 1, p=popularity).astype(np.int32) for length in lengths]


def workload_of(scale: Literal["small", "full"]) -> SASRecWorkload:
    """The sizes that figures are quoted for, or small ones."""
    return SASRecWorkload() if scale == "full" else SASRecWorkload(num_items=300, batch_users=12, max_length=10)


class SASRecCase:
    """A workload's data, our compiled steps, and the peer's files. Without dropout, so that gradients are equal."""

    def __init__(self, workload: SASRecWorkload, targets_per_step: int | None = None) -> None:
        self.workload = workload
        self.sequences = workload.sequences()
        config = SASRecConfig(dropout=0.0, norm="post", max_length=workload.max_length)
        self.model = SASRec(config, len(self.sequences), workload.num_items)
        self.ctx = Context(item_counts=jnp.ones(workload.num_items, jnp.int32))
        self.optimizer = optax.adam(1e-3)
        self.num_targets = sum(len(items) - 1 for items in self.sequences)
        self.targets_per_step = targets_per_step or round(self.num_targets / workload.num_batches / 8) * 8
        self.params = first_state(self.model, self.optimizer, self.ctx, 0).params

    def batch_sequences(self, batch: int) -> list[np.ndarray]:
        """The events of one batch's users."""
        size = self.workload.batch_users
        return self.sequences[batch * size : (batch + 1) * size]

    def first_batch(self) -> Batch:
        """All targets of the first batch's users, on the host."""
        flat = flat_sequences(self.batch_sequences(0))
        shape = SequenceShape(-(-int(flat.counts.sum()) // 8) * 8, self.workload.max_length)
        ordered = flat.ordered(np.arange(len(flat.counts)), np)
        return stream_rows(ordered, 0, shape.num_rows, shape.width, shape.context, shape.max_length, np)

    def one_step(self) -> tuple[Any, TrainState, Batch, Context]:
        """A jitted training step alone, its batch given, and then its arguments."""
        state = first_state(self.model, self.optimizer, self.ctx, 0)
        return jax.jit(make_update(self.model, self.optimizer, 0)), state, self.first_batch(), self.ctx

    @property
    def step_work(self) -> Work:
        """The least of a step: products by the table and the encoder's kernels and their two gradients; Adam.

        Attention inside sequences this short is left out. Adam reads four arrays of every parameter and writes three.
        """
        leaves = by_name(self.params)
        table = leaves["items.embedding"].size
        kernels = sum(leaf.size for name, leaf in leaves.items() if name.endswith("kernel"))
        entries = sum(leaf.size for leaf in leaves.values())
        operations = 6.0 * self.targets_per_step * (table + kernels) + 12.0 * entries
        return Work(operations, 28.0 * entries + 8.0 * table)

    def gradient(self) -> tuple[float, dict[str, np.ndarray]]:
        """Loss and gradient of the first batch's users."""
        batch = self.first_batch()

        def total(params: Any) -> jax.Array:
            return self.model.loss(params, {}, batch, self.ctx, jax.random.key(0)).total

        loss, gradient = jax.jit(jax.value_and_grad(total))(self.params)
        return float(loss), by_name(gradient)

    def steps(self, num_steps: int) -> Callable[[], None]:
        """Our training call: batches made on the device, num_steps of them a call."""
        data = SequenceInput(
            StreamSource(flat_sequences(self.sequences), None),
            SequenceShape(self.targets_per_step, self.workload.max_length),
        )
        state = first_state(self.model, self.optimizer, self.ctx, 0)
        places = jax.tree.map(lambda leaf: leaf.sharding, state)
        call = data.compile(self.model, self.optimizer, 0, state, self.ctx, places, jax.device_put)
        carried = [state]

        def run() -> None:
            done = 0
            while done < num_steps:  # a call ends with its epoch
                carried[0], progress = call(carried[0], num_steps - done)
                done += int(progress.steps)
            jax.block_until_ready(carried[0])

        return run

    def save(self, path: pathlib.Path) -> None:
        """Parameters and padded rows [batches, users, max_length + 1] of id + 1, for a peer."""
        length, size = self.workload.max_length + 1, self.workload.batch_users
        padded = np.zeros((len(self.sequences), length), np.int32)
        for row, items in zip(padded, self.sequences, strict=True):
            row[length - len(items) :] = items + 1
        arrays: dict[str, Any] = {"padded": padded.reshape(-1, size, length), "num_heads": 2, "num_layers": 2}
        np.savez(path, allow_pickle=False, **(arrays | by_name(self.params)))


def flat_sequences(sequences: list[np.ndarray]) -> Sequences:
    """Sequences one after the other."""
    lengths = np.array([len(items) for items in sequences])
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    users = np.arange(len(sequences), dtype=np.int32)
    return Sequences(users, starts, (lengths - 1).astype(np.int32), np.concatenate(sequences))


def by_name(params: Any) -> dict[str, np.ndarray]:
    """Parameters by their path, such as encoder.transformer.layer_0.attention.output.kernel."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def run(settings: Settings) -> dict:
    """Seconds a thousand targets; losses and gradients of one batch compared with PyTorch's padded and packed forms."""
    case = SASRecCase(workload_of(settings.scale))
    ours = case.gradient()
    variants: dict[str, Callable[[], Any]] = {OURS: case.steps(STEPS_PER_CALL)}
    per = {OURS: STEPS_PER_CALL * case.targets_per_step / 1000}
    errors: dict[str, dict[str, float]] = {}
    with contextlib.ExitStack() as stack:
        if settings.torch_python is not None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            case.save(folder / "workload.npz")
            peer = stack.enter_context(
                device_peer(settings.torch_python, "torch_sasrec.py", str(folder / "workload.npz"))
            )
            for form in ("padded", "packed"):
                answer = peer.ask(do="gradient", form=form, path=str(folder / "gradient.npz"))
                errors[f"torch {form}"] = relative_errors(ours, (answer["loss"], np.load(folder / "gradient.npz")))
            for name, (form, compiled, steps) in TORCH_VARIANTS.items():
                if settings.scale == "small" and compiled:
                    continue  # compiling takes longer than all the rest
                question = {"do": "steps", "form": form, "compiled": compiled, "steps": steps}
                variants[name] = lambda question=question: peer.ask(**question)["seconds"]
                per[name] = peer.ask(**question)["targets"] / 1000
        times = interleave(variants, settings, per=per)
    faster = ratios(times, OURS)
    checks = {"losses and gradients equal": all(e <= TOLERANCE for error in errors.values() for e in error.values())}
    return {
        "unit": "seconds a thousand targets",
        "steps_per_call": STEPS_PER_CALL,
        "targets_per_step": case.targets_per_step,
        "variants": times,
        "programs": {OURS: compile_timed(*case.one_step())[1]},
        "work": work_entry({OURS: case.step_work.times(1000 / case.targets_per_step)}),
        "ratios": faster,
        "relative_errors": errors,
        "checks": checks,
    }


def relative_errors(ours: tuple[float, dict[str, np.ndarray]], theirs: tuple[float, Any]) -> dict[str, float]:
    """Of the loss, and the largest of any parameter's gradient against that gradient's largest number."""
    (loss, gradient), (other_loss, other) = ours, theirs
    largest = max(float(np.abs(leaf).max()) for leaf in gradient.values())
    return {
        "loss": abs(loss - other_loss) / abs(other_loss),
        "gradient": max(float(np.abs(leaf - other[name]).max()) / largest for name, leaf in gradient.items()),
    }
