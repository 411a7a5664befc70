"""One denoising stage of M3BSR: several modalities, each with a network of its own (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.models.m3bsr_config import DenoisingConfig
from jaxrec.models.m3bsr_input import Tokens
from jaxrec.nn.denoiser import ConditionalDenoiser, FeatureMLP
from jaxrec.nn.diffusion import diffuse, literal_error, noise_error, predict_clean, reverse_chain
from jaxrec.nn.split_gradient import split_gradient


class DenoisingStage(nn.Module):
    """Clean sequences of some modalities under a condition, and the reconstruction error of the networks.

    null_condition: a learned vector stands for an empty condition. both_terms: the literal objective has Eq. 10's two
    terms, not Eq. 13's one. In training the clean signal comes out of a random step at once; the loss of what reads
    it goes back through the network into features and condition, the reconstruction error into the network alone: it
    would be least where ids tell the features, or the features nothing at all.
    """

    config: DenoisingConfig
    num_heads: int
    max_length: int
    null_condition: bool
    both_terms: bool

    @nn.compact
    def __call__(
        self, features: Tokens, conditions: Tokens, condition_mask: jax.Array, mask: jax.Array, train: bool
    ) -> tuple[Tokens, jax.Array]:
        """Denoised features, and their error [R, L] (zeros where nothing is diffused).

        features: modality -> [R, L, w]; conditions: the same names -> [R, K, e]; condition_mask [R, K]; mask [R, L],
        which positions are real. In training it draws from the stream "noise".
        """
        no_error = jnp.zeros(mask.shape)
        if self.config.kind == "none" or not features:
            return features, no_error
        denoised, errors = {}, []
        # The same step for all modalities of a row.
        step_rng = self.make_rng("noise") if train and self.config.kind == "diffusion" else None
        for names in _alike(features, conditions):
            rows = jnp.stack([features[name] for name in names], axis=1)
            label = "_".join(names)
            if self.config.kind == "mlp":
                rows = _stacked(FeatureMLP, (1,))(name=f"{label}_network")(rows)
            else:
                condition = conditions[names[0]]
                shared = all(conditions[name] is condition for name in names)
                if not shared:
                    condition = jnp.stack([conditions[name] for name in names], axis=1)
                network = _stacked(ConditionalDenoiser, (1, None, None if shared else 1, None))(
                    self.num_heads,
                    self.max_length,
                    self.config.denoiser,
                    self.null_condition,
                    name=f"{label}_denoiser",
                )
                if step_rng is not None:
                    steps = jax.random.randint(step_rng, mask.shape[:1], 1, self.config.num_steps + 1)
                    rows, error = self._train(network, rows, steps, condition, condition_mask)
                    errors.append(error)
                else:
                    rows = self._infer(network, rows, condition, condition_mask)
            denoised |= {name: rows[:, index] for index, name in enumerate(names)}
        error = jnp.concatenate(errors, axis=1).mean(1) if errors else no_error
        return {name: denoised[name] for name in features}, error

    def _train(
        self, network: nn.Module, rows: jax.Array, steps: jax.Array, condition: jax.Array, condition_mask: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Clean features [R, G, L, w] out of a random step, and the error [R, G, L] that trains the network."""
        schedule = self.config.make_schedule()
        noise = jax.random.normal(self.make_rng("noise"), rows.shape)
        state = diffuse(schedule, rows, steps, noise)
        if self.is_initializing():
            predicted = fixed = network(state, steps, condition, condition_mask)
        else:
            apply, variables = _pure(network)
            predicted, fixed = split_gradient(
                lambda variables, state, condition: apply(variables, state, steps, condition, condition_mask),
                variables,
                state,
                condition,
            )
        denoised = predict_clean(schedule, state, steps, predicted)
        if self.config.objective == "noise":
            return denoised, noise_error(fixed, noise)
        state = jax.lax.stop_gradient(state)
        return denoised, literal_error(schedule, state, steps, fixed, self.both_terms)

    def _infer(self, network: nn.Module, rows: jax.Array, condition: jax.Array, condition_mask: jax.Array) -> jax.Array:
        """Without drawing: from signal_t h_0, as if the noise of step t were what the features carry themselves."""
        schedule, first = self.config.make_schedule(), self.config.first_step
        state = rows * schedule.signal[first - 1]
        apply, variables = _pure(network)

        def predict(state: jax.Array, step: jax.Array) -> jax.Array:
            return apply(variables, state, jnp.broadcast_to(step, rows.shape[:1]), condition, condition_mask)

        if self.config.inference == "chain":
            return reverse_chain(schedule, state, predict, first)
        return predict_clean(schedule, state, first, predict(state, jnp.int32(first)))


def _alike(features: Tokens, conditions: Tokens) -> list[tuple[str, ...]]:
    """Names in groups whose features and conditions have the same widths, so that one batched call serves a group."""
    groups: dict[tuple[int, int], tuple[str, ...]] = {}
    for name, rows in features.items():
        widths = rows.shape[-1], conditions[name].shape[-1]
        groups[widths] = (*groups.get(widths, ()), name)
    return list(groups.values())


def _stacked(module: type[nn.Module], axes: tuple[int | None, ...]) -> Any:
    """The module with parameters for each entry of axis 1, of those arguments that have it."""
    vmap: Any = nn.vmap  # its annotation knows one axis for all arguments alone
    return vmap(module, in_axes=axes, out_axes=1, variable_axes={"params": 0}, split_rngs={"params": True})


def _pure(network: nn.Module) -> tuple[Callable[..., jax.Array], Any]:
    """The module's function and variables apart: a bound module must not be called inside a scan or a custom rule."""
    module, variables = network.unbind()
    return module.apply, variables  # type: ignore[return-value]
