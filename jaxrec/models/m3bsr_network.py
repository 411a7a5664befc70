"""M3BSR's network: histories of several behaviours and modalities to one vector a user."""

from __future__ import annotations

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrec.models.m3bsr_config import M3BSRConfig
from jaxrec.models.m3bsr_denoising import DenoisingStage
from jaxrec.models.m3bsr_input import ID, IdFeatures, Tokens
from jaxrec.nn.denoiser import POSITION_STD, right_aligned
from jaxrec.nn.experts import Experts, GatedFusion, SharedSequences, mean_of_present
from jaxrec.nn.losses import masked_mean


@flax.struct.dataclass
class Interests:
    """What the network makes of B histories of N behaviours in M modalities; experts in order of behaviour, modality.

    users: [B, d]. vectors: [B, E, d], the experts', the shared one first, None without experts. modality_error,
    behavior_error: mean reconstruction errors, 0 where nothing is diffused. features, modality_denoised, denoised:
    modality -> [B, N, L, w], before, between and behind the two denoising stages. gate: [B, d], the share of the
    common interests; summands: [B, E, d], what each expert adds to the user's vector, the shared one first; both None
    without a shared expert.
    """

    users: jax.Array
    vectors: jax.Array | None
    modality_error: jax.Array
    behavior_error: jax.Array
    features: Tokens
    modality_denoised: Tokens
    denoised: Tokens
    gate: jax.Array | None
    summands: jax.Array | None


class M3BSRNetwork(nn.Module):
    """Id features, both denoising stages, experts and their fusion (sections 4.1 to 4.3)."""

    config: M3BSRConfig
    num_users: int

    @nn.compact
    def __call__(
        self, tokens: Tokens, user_ids: jax.Array, mask: jax.Array, train: bool, mesh: Mesh | None = None
    ) -> Interests:
        """tokens: of jaxrec.models.m3bsr_input.history_tokens, [B, N, L, w]; user_ids [B]; mask [B, N, L] bool.

        mask tells real events, and in a padded row it is False throughout. In training the streams "noise" and
        "dropout" must be given.
        """
        features = tokens | {ID: IdFeatures(self.config, self.num_users, name="ids")(tokens[ID], user_ids, mesh)}
        between, modality_error = self._denoise_modalities(features, mask, train)
        denoised, behavior_error = self._denoise_behaviors(between, mask, train)
        stacked = self._project(denoised)
        if self.config.extraction == "mean":
            users, vectors, gate, summands = self._mean(stacked, mask), None, None, None
        else:
            users, vectors, gate, summands = self._extract(stacked, mask, train)
        return Interests(users, vectors, modality_error, behavior_error, features, between, denoised, gate, summands)

    def _denoise_modalities(self, features: Tokens, mask: jax.Array, train: bool) -> tuple[Tokens, jax.Array]:
        """Every behaviour's features under the ids of the same behaviour, all behaviours in one call (Eq. 6 to 10)."""
        config, shape = self.config, mask.shape
        rows = {name: values.reshape(-1, *values.shape[2:]) for name, values in features.items()}
        ids = rows.pop(ID)
        stage = DenoisingStage(config.modality, config.num_heads, config.max_length, False, True, name="modality")
        row_mask = mask.reshape(-1, shape[2])
        denoised, error = stage(rows, dict.fromkeys(rows, ids), row_mask, row_mask, train)
        back = {name: values.reshape(*shape, -1) for name, values in denoised.items()}
        return back | {ID: features[ID]}, masked_mean(error, row_mask)

    def _denoise_behaviors(self, features: Tokens, mask: jax.Array, train: bool) -> tuple[Tokens, jax.Array]:
        """Each behaviour but the last under the denoised next deeper one, the deepest first (Eq. 11 to 13)."""
        config, num_behaviors = self.config, mask.shape[1]
        deeper = {name: values[:, -1] for name, values in features.items()}
        by_behavior, errors = [deeper], []
        for index in reversed(range(num_behaviors - 1)):
            own = {name: values[:, index] for name, values in features.items()}
            conditions = by_behavior[0]
            if config.behavior_condition != "same":
                conditions = dict.fromkeys(own, conditions[config.behavior_condition])
            stage = DenoisingStage(
                config.behavior, config.num_heads, config.max_length, True, False, name=f"behavior_{index}"
            )
            cleaned, error = stage(own, conditions, mask[:, index + 1], mask[:, index], train)
            by_behavior.insert(0, cleaned)
            errors.append(masked_mean(error, mask[:, index]))
        denoised = {name: jnp.stack([rows[name] for rows in by_behavior], axis=1) for name in features}
        return denoised, sum(errors, jnp.zeros(())) / max(len(errors), 1)

    def _project(self, denoised: Tokens) -> jax.Array:
        """All modalities side by side and told their places: [B, N, M, L, d]."""
        if self.config.space == "raw":
            denoised = {
                name: nn.Dense(self.config.dim, name=f"{name}_projection")(values) for name, values in denoised.items()
            }
        stacked = jnp.stack(list(denoised.values()), axis=2)
        places = nn.initializers.normal(POSITION_STD)
        table = self.param("positions", places, (self.config.max_length, self.config.dim))
        return stacked + right_aligned(table, stacked.shape[3])[None, None, None]

    def _mean(self, stacked: jax.Array, mask: jax.Array) -> jax.Array:
        """Without experts: a linear map of the mean over behaviours, modalities and events, each behaviour alike."""
        weights = mask / jnp.maximum(mask.sum(-1, keepdims=True), 1)
        weights /= jnp.maximum(mask.any(-1).sum(-1), 1)[:, None, None]
        pooled = jnp.einsum("bnmld,bnl->bd", stacked, weights) / stacked.shape[2]
        return nn.Dense(self.config.dim, name="mean_output")(pooled)

    def _extract(
        self, stacked: jax.Array, mask: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]:
        """User vectors, the experts' vectors, gate and summands (Eq. 14 to 22)."""
        config = self.config
        num_rows, num_behaviors, num_modalities, length, width = stacked.shape
        sequences = stacked.reshape(num_rows, -1, length, width)
        masks = jnp.repeat(mask, num_modalities, axis=1)
        num_specific = num_behaviors * num_modalities
        if config.shared_expert == "cross_attention":
            # Eq. 14 and 15: modalities one behind the other along the features.
            joined = stacked.swapaxes(2, 3).reshape(num_rows, num_behaviors, length, num_modalities * width)
            attend = SharedSequences(config.num_heads, width, name="shared")
            sequences = jnp.concatenate([sequences, attend(joined[:, :-1], joined[:, -1], mask[:, -1])], axis=1)
            masks = jnp.concatenate([masks, mask[:, :-1]], axis=1)
        experts = Experts(config.num_layers, config.num_heads, config.dropout, name="experts")
        vectors = experts(sequences, masks, not train)
        specific = vectors[:, :num_specific]
        if config.shared_expert == "none":
            side_by_side = specific.reshape(num_rows, -1)
            users = nn.Dense(width, use_bias=False, name="specific_output")(side_by_side)
            return users, specific, None, None
        common = mean_of_present(vectors[:, num_specific:], mask[:, :-1].any(-1))
        users, gate, summands = GatedFusion(name="fusion")(common, specific)
        return users, jnp.concatenate([common[:, None], specific], axis=1), gate, summands
