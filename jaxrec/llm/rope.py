"""Rotary position embeddings (Su et al., 2021) with the scalings that Llama checkpoints use."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How frequencies are stretched beyond the context of pretraining.

    linear: all divided by factor (Chen et al., 2023). llama3: low ones divided by factor, high ones kept, those
    between blended (Llama 3.1). divisors: each divided by its own number, as GGUF files store the outcome of llama3.
    """

    kind: Literal["none", "linear", "llama3", "divisors"] = "none"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 8192
    divisors: tuple[float, ...] = ()

    def validate(self, source: str, head_dim: int) -> None:
        """Raise UserError, naming the source, for numbers that make no frequencies."""
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise UserError(f"{source}: rope_scaling.factor {self.factor}; allowed: above 0")
        if self.kind == "llama3" and not 0 < self.low_freq_factor < self.high_freq_factor:
            raise UserError(
                f"{source}: rope_scaling.low_freq_factor {self.low_freq_factor}; "
                f"allowed: above 0 and below high_freq_factor {self.high_freq_factor}"
            )
        if self.kind == "divisors" and (len(self.divisors) != head_dim // 2 or not min(self.divisors) > 0):
            raise UserError(f"{source}: rope frequencies; {head_dim // 2} numbers above 0 are needed")


def rope_frequencies(head_dim: int, base: float, scaling: RopeScaling) -> np.ndarray:
    """Radians a position turns each pair of features by: [head_dim / 2] float32."""
    frequencies = base ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    if scaling.kind == "linear":
        frequencies = frequencies / scaling.factor
    elif scaling.kind == "divisors":
        frequencies = frequencies / np.asarray(scaling.divisors)
    elif scaling.kind == "llama3":
        # Turns that a pair makes within the context of pretraining decide how far it is stretched.
        turns = scaling.original_max_positions * frequencies / (2 * np.pi)
        low, high = scaling.low_freq_factor, scaling.high_freq_factor
        keep = np.clip((turns - low) / (high - low), 0.0, 1.0)
        frequencies = frequencies * (keep + (1 - keep) / scaling.factor)
    return frequencies.astype(np.float32)


def rope_angles(positions: jax.Array, frequencies: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines [B, T, 1, head_dim / 2] float32 of positions [B, T] int32."""
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, angles: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Heads [B, T, N, head_dim] turned by their positions; feature i is paired with i + head_dim / 2."""
    cosine, sine = angles
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
    return turned.astype(x.dtype)
