"""Gaussian diffusion of feature vectors: schedules, the forward process, and the way back from a predicted noise.

Steps run from 1 to T. State h_t is made of the clean features h_0 and of noise of unit variance:
h_t = signal_t h_0 + noise_t e. Arrays broadcast from the left: steps [...] go with states [..., features].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

Kind = Literal["linear", "cosine", "paper"]
Reading = Literal["ddpm", "paper"]


@flax.struct.dataclass
class NoiseSchedule:
    """What every step does, [T] float32 each; entry t - 1 is of step t.

    keep, added: one forward step, h_t = keep_t h_{t-1} + added_t e. signal, noise: all steps up to t at once.
    removal: how much of the predicted noise one reverse step takes off, before the division by keep.
    """

    keep: Any
    added: Any
    signal: Any
    noise: Any
    removal: Any

    @property
    def num_steps(self) -> int:
        """T."""
        return self.keep.shape[0]


def make_schedule(
    kind: Kind,
    num_steps: int,
    low: float = 1e-3,
    high: float = 0.1,
    mean: Reading = "ddpm",
    reverse: Reading = "ddpm",
) -> NoiseSchedule:
    """The schedule of T steps, as NumPy arrays.

    kind "linear": the variances beta_t run from low to high (Ho et al., NeurIPS 2020); "cosine": the product of
    1 - beta_t follows a squared cosine (Nichol and Dhariwal, ICML 2021), low and high aside; "paper": low and high are
    alpha_t = 1 - beta_t itself, as M3BSR section 5.1.3 says: one step leaves next to nothing of the features.
    mean "ddpm": the forward mean is sqrt(1 - beta_t) h_{t-1}, which keeps the variance; "paper": (1 - beta_t) h_{t-1}
    (M3BSR Eq. 1 and 6). reverse "ddpm": the divisor of Eq. 12, sqrt(1 - prod alpha); "paper": that of Eq. 8,
    sqrt(1 - alpha_t).
    """
    if kind == "cosine":
        angles = (np.arange(num_steps + 1) / num_steps + 0.008) / 1.008 * np.pi / 2
        products = np.cos(angles) ** 2 / np.cos(angles[0]) ** 2
        beta = np.clip(1 - products[1:] / products[:-1], 0.0, 0.999)
    else:
        beta = np.linspace(low, high, num_steps)
        if kind == "paper":
            beta = 1 - beta[::-1]
    keep = np.sqrt(1 - beta) if mean == "ddpm" else 1 - beta
    variance, variances = 0.0, []
    for kept, added in zip(keep, beta, strict=True):
        variance = kept**2 * variance + added
        variances.append(variance)
    noise = np.sqrt(variances)
    removal = beta / noise if reverse == "ddpm" else np.sqrt(beta)
    columns = (keep, np.sqrt(beta), np.cumprod(keep), noise, removal)
    return NoiseSchedule(*(np.asarray(column, np.float32) for column in columns))


def _at(values: Any, steps: jax.Array | int, like: jax.Array) -> jax.Array:
    """The entries of the steps, with axes of size 1 behind them up to the rank of `like`."""
    picked = jnp.asarray(values)[jnp.asarray(steps) - 1]
    return picked.reshape(picked.shape + (1,) * (like.ndim - picked.ndim))


def diffuse(schedule: NoiseSchedule, clean: jax.Array, steps: jax.Array | int, noise: jax.Array) -> jax.Array:
    """h_t out of h_0 at once (M3BSR Eq. 7 and 11, closed form); noise: as clean, of unit variance."""
    return _at(schedule.signal, steps, clean) * clean + _at(schedule.noise, steps, clean) * noise


def diffuse_step(schedule: NoiseSchedule, state: jax.Array, step: jax.Array | int, noise: jax.Array) -> jax.Array:
    """h_t out of h_{t-1} (M3BSR Eq. 6)."""
    return _at(schedule.keep, step, state) * state + _at(schedule.added, step, state) * noise


def predict_clean(schedule: NoiseSchedule, state: jax.Array, steps: jax.Array | int, predicted: jax.Array) -> jax.Array:
    """h_0 out of h_t and its predicted noise: (h_t - noise_t e) / signal_t."""
    return (state - _at(schedule.noise, steps, state) * predicted) / _at(schedule.signal, steps, state)


def reverse_step(schedule: NoiseSchedule, state: jax.Array, steps: jax.Array | int, predicted: jax.Array) -> jax.Array:
    """h_{t-1} out of h_t and its predicted noise (M3BSR Eq. 8 and 12); no noise is added, as none is written."""
    return (state - _at(schedule.removal, steps, state) * predicted) / _at(schedule.keep, steps, state)


def reverse_chain(
    schedule: NoiseSchedule, state: Any, predict: Callable[[Any, jax.Array], Any], first: int | None = None
) -> Any:
    """h_0 out of h_t by t reverse steps in one scan; first: t, T where it is not given.

    state: an array, or a tree of arrays that go the way together. predict(state, step) gives the noise of the whole
    tree; step: int32 scalar, from t to 1.
    """

    def step_back(state: Any, step: jax.Array) -> tuple[Any, None]:
        predicted = predict(state, step)
        return jax.tree.map(lambda h, e: reverse_step(schedule, h, step, e), state, predicted), None

    return jax.lax.scan(step_back, state, jnp.arange(first or schedule.num_steps, 0, -1, dtype=jnp.int32))[0]


def noise_error(predicted: jax.Array, noise: jax.Array) -> jax.Array:
    """Mean squared error of the predicted noise over the features: [...] of [..., features]."""
    return jnp.square(predicted - noise).mean(-1)


def literal_error(
    schedule: NoiseSchedule, state: jax.Array, steps: jax.Array, predicted: jax.Array, with_mean: bool
) -> jax.Array:
    """M3BSR Eq. 13 as printed, and with_mean Eq. 10: what comes out, compared with the noisy state that went in.

    Both terms are least where nothing is taken off: the optimum does not denoise.
    """
    error = jnp.square(state - predict_clean(schedule, state, steps, predicted))
    if with_mean:
        error += jnp.square(state - reverse_step(schedule, state, steps, predicted))
    return error.mean(-1)
