"""What a user says about training."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser and its schedule."""

    name: Literal["adam", "adamw", "sgd", "lazy_adam"] = "adam"
    """Which optimiser; lazy_adam leaves rows of tables that a step did not read, and their moments, as they are."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Constant, or cosine decay to zero over all epochs."""
    warmup_steps: int = 0
    """Steps of linear warm-up from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay (adamw only)."""
    clip_norm: float | None = None
    """Clip gradients to this global norm."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long and in which portions a model trains, when it stops and what is kept."""

    epochs: int = 300
    """Passes over the training interactions at most."""
    batch_size: int = 2048
    """Training interactions a step, over all devices."""
    optimizer: OptimizerConfig = OptimizerConfig()
    eval_every: int = 5
    """Epochs between two evaluations on the validation part."""
    monitor: str = "ndcg@10"
    """Validation metric that chooses the best step."""
    patience: int = 10
    """Evaluations without improvement before training stops; 0 never stops early."""
    input: Literal["auto", "device", "blocks", "shards"] = "auto"
    """Interactions on the device, streamed in blocks, or read from shards; `auto` streams what exceeds
    device_budget_mb, and reads from shards where data.path is a folder of them."""
    device_budget_mb: int = 2048
    """Interactions larger than this are streamed."""
    input_workers: int = dataclasses.field(default=0, metadata={"added": "0.2", "hash": False})
    """Processes that read shards ahead, each its share; 0 reads in threads of the training process."""
    checkpoint_every_seconds: float = dataclasses.field(default=60.0, metadata={"hash": False})
    """Time between two checkpoints; what a killed run loses at most."""
    log_every: int = dataclasses.field(default=100, metadata={"hash": False})
    """Steps between two training lines in metrics.jsonl."""
    tensorboard: bool = dataclasses.field(default=False, metadata={"hash": False})
    """Write TensorBoard files too (needs the `track` extra)."""


@dataclasses.dataclass(frozen=True)
class DevicesConfig:
    """Which devices are used and how."""

    count: int | None = None
    """Number of devices; all visible ones by default."""
    model: int | None = None
    """Devices along the `model` axis of the mesh; the model family decides by default."""
