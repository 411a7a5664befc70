"""UiM's network: a user's items and profile to K interests (sections III-B and III-C)."""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from jaxrec.models.base import Context
from jaxrec.models.uim_config import UiMConfig
from jaxrec.nn.capsules import route_items

_INIT_STD = 0.1


@flax.struct.dataclass
class Interests:
    """What the network makes of B users with L items, K capsules and N fields of a profile.

    vectors: [B, K, d] (Eq. 11). coupling: [B, L, K], the share of each item in each capsule (Eq. 6), and item_gates:
    [B, L], the weight that the profile gives it (Eq. 4), 1 without a profile; both 0 where there is no item.
    field_gates: [B, K, N], the weight of each field for each interest (Eq. 9), the mean of its elements where each has
    its own; [B, K, 0] without a profile.
    """

    vectors: jax.Array
    coupling: jax.Array
    item_gates: jax.Array
    field_gates: jax.Array


def field_names(ctx: Context) -> tuple[str, ...]:
    """Fields of the profiles in the order of the network: categories, then numbers."""
    return (*sorted(ctx.user_fields or {}), *sorted(ctx.user_numbers or {}))


class ProfileVectors(nn.Module):
    """e_u: a vector of each field, in the order of `field_names`.

    sizes: codes of each categorical field, 0 (unknown) among them. A number x becomes x w + b, and an unknown one has a
    vector of its own.
    """

    dim: int
    sizes: Mapping[str, int]

    @nn.compact
    def __call__(
        self, fields: Mapping[str, jax.Array], numbers: Mapping[str, jax.Array], known: Mapping[str, jax.Array]
    ) -> jax.Array:
        """[B, N, profile_dim] of fields [B] int32, numbers [B] float32 and known [B] bool, each by its name."""
        init, vectors = nn.initializers.normal(_INIT_STD), []
        for name in sorted(fields):
            vectors.append(self.param(f"{name}_embedding", init, (self.sizes[name], self.dim))[fields[name]])
        for name in sorted(numbers):
            slope, offset, unknown = (self.param(f"{name}_{part}", init, (self.dim,)) for part in _NUMBER_PARTS)
            value = jnp.where(known[name], numbers[name], 0.0)[:, None] * slope[None] + offset[None]
            vectors.append(jnp.where(known[name][:, None], value, unknown[None]))
        return jnp.stack(vectors, axis=1)


_NUMBER_PARTS = ("slope", "offset", "unknown")


class InterestNetwork(nn.Module):
    """Injection of the profile, capsules, gates of the profile's fields, and their fusion: Eq. 4 to 11."""

    config: UiMConfig

    @nn.compact
    def __call__(
        self, items: jax.Array, mask: jax.Array, logits: jax.Array, profile: jax.Array | None = None
    ) -> Interests:
        """items: [B, L, d]; mask: [B, L] bool; logits: [B, L, K], the first ones; profile: [B, N, profile_dim].

        A user without items has capsules of zeros: what is recommended follows from the profile alone.
        """
        config, width = self.config, items.shape[-1]
        items = jnp.where(mask[..., None], items, 0.0)
        gates = None if profile is None else self._inject(items, profile)
        maps = self.param("maps", _GLOROT_OF_EACH, (config.num_interests, width, width))
        routed = route_items(items, maps, mask, logits, gates, iterations=config.num_iterations)
        if profile is None:
            weights, joined = jnp.zeros((*routed.capsules.shape[:2], 0)), routed.capsules
        else:
            weights, joined = self._regulate(routed.capsules, profile)
        # Eq. 11: an activation after the first layer alone, so that interests may point anywhere.
        hidden = nn.relu(nn.Dense(max(width // 2, 1), name="interest_in")(joined))
        vectors = nn.Dense(width, name="interest_out")(hidden)
        shown = mask.astype(jnp.float32) if gates is None else mask * gates
        return Interests(vectors, routed.coupling, shown, weights)

    def _inject(self, items: jax.Array, profile: jax.Array) -> jax.Array:
        """a_i of Eq. 4, one number an item (b_2 is a scalar): [B, L]."""
        # W_1 [e_i, e_u] in two parts, so that e_u is mapped once for all items of a user.
        users = nn.Dense(self.config.hidden_dim, use_bias=False, name="inject_user")(_flat(profile))
        hidden = nn.relu(nn.Dense(self.config.hidden_dim, name="inject_item")(items) + users[:, None])
        return nn.sigmoid(nn.Dense(1, name="inject_out")(hidden)[..., 0])

    def _regulate(self, capsules: jax.Array, profile: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Weights of the fields [B, K, N], and what Eq. 11 reads."""
        config, (num_users, num_fields, dim) = self.config, profile.shape
        users = nn.Dense(config.hidden_dim, use_bias=False, name="gate_user")(_flat(profile))
        hidden = nn.relu(nn.Dense(config.hidden_dim, name="gate_capsule")(capsules) + users[:, None])
        by_element = config.gate == "element"
        gates = nn.sigmoid(nn.Dense(num_fields * (dim if by_element else 1), name="gate_out")(hidden))  # Eq. 9
        shape = num_users, config.num_interests, num_fields, dim if by_element else 1
        by_field = gates.reshape(shape)
        gated = (by_field * profile[:, None]).reshape(num_users, config.num_interests, num_fields * dim)  # Eq. 10
        other = capsules if config.fuse == "capsule" else gates
        return by_field.mean(-1), jnp.concatenate([gated, other], axis=-1)


_GLOROT_OF_EACH = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", batch_axis=(0,))


def _flat(profile: jax.Array) -> jax.Array:
    return profile.reshape(len(profile), -1)
