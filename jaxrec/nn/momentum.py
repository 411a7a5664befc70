"""A slow copy of parameters that teaches them."""

from __future__ import annotations

from typing import Any

import jax
import optax


def follow(teacher: Any, params: Any, momentum: float) -> Any:
    """theta' <- m theta' + (1 - m) theta, without a gradient to either."""
    return jax.lax.stop_gradient(optax.incremental_update(params, teacher, 1.0 - momentum))
