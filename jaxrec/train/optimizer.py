"""The optimiser of an experiment, as optax has it."""

from __future__ import annotations

import optax

from jaxrec.train.config import OptimizerConfig
from jaxrec.train.lazy_adam import lazy_adam


def make_optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """Optax transformation with schedule and clipping; total_steps is the length of the cosine decay."""
    if config.schedule == "cosine":
        rate: optax.ScalarOrSchedule = optax.warmup_cosine_decay_schedule(
            0.0 if config.warmup_steps else config.learning_rate,
            config.learning_rate,
            config.warmup_steps,
            max(total_steps, config.warmup_steps + 1),
        )
    elif config.warmup_steps:
        rate = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    else:
        rate = config.learning_rate
    if config.name == "adam":
        transform = optax.adam(rate)
    elif config.name == "lazy_adam":
        transform = lazy_adam(rate)
    elif config.name == "adamw":
        transform = optax.adamw(rate, weight_decay=config.weight_decay)
    else:
        transform = optax.sgd(rate)
    if config.clip_norm is not None:
        transform = optax.chain(optax.clip_by_global_norm(config.clip_norm), transform)
    return transform
