"""A slow copy of parameters that teaches them."""

from __future__ import annotations

from typing import Any

import jax


def follow(teacher: Any, params: Any, momentum: float) -> Any:
    """theta' <- m theta' + (1 - m) theta, without a gradient to either.

    Written as a step from theta' towards theta, so that a teacher equal to its student stays so to the last bit.
    """
    moved = jax.tree.map(lambda slow, fast: slow + (1.0 - momentum) * (fast - slow), teacher, params)
    return jax.lax.stop_gradient(moved)
