"""UiM: interests of a user out of what they did and who they are.

Xu et al., "User Plays a Role: User-insight Multi-modal Recommendation": items of several modalities, weighed by the
user's profile, are routed to capsules; each capsule with the fields of the profile that matter to it is an interest,
and an item is as good as the interest that suits it best. The simulated user that ranks the result anew is
jaxrec.refine.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Encoded, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.mcln_network import pair_losses
from jaxrec.models.uim_config import UiMConfig
from jaxrec.models.uim_items import init_items, item_vectors, of_mcln, read_catalogue
from jaxrec.models.uim_network import InterestNetwork, Interests, ProfileVectors, field_names
from jaxrec.nn.capsules import routing_logits
from jaxrec.nn.in_batch_softmax import in_batch_softmax
from jaxrec.nn.losses import squared_norm
from jaxrec.nn.partition_rules import pad_rows
from jaxrec.nn.sharded_embedding import batch_rows
from jaxrec.nn.sharding import rows_apart

__all__ = ["Insight", "UiM", "UiMConfig"]

_EVALUATION_SEED = 0
"""Of the key of the first logits at evaluation: one key, so that the same history always has the same interests."""


@flax.struct.dataclass
class Insight:
    """Why a user is recommended what: arrays of B users, K interests, L items and N fields of the profile.

    interests: [B, K, d]. coupling: [B, L, K], the share of each item in each interest. item_gates: [B, L], the weight
    that the profile gives it. field_gates: [B, K, N], the weight of each field for each interest, in the order of
    UiM.field_names. history: [B, L] int32, item id + 1, 0 where there is nothing and the rest is 0, too.
    """

    interests: jax.Array
    coupling: jax.Array
    item_gates: jax.Array
    field_gates: jax.Array
    history: jax.Array


@dataclasses.dataclass(frozen=True)
class UiM:
    """The model's functions over {"items": the backbone's, "network": InterestNetwork's, "profile": ProfileVectors'}.

    "profile" is there only where the config asks for profiles. There is no extra state.
    """

    config: UiMConfig
    num_users: int
    num_items: int

    @property
    def _network(self) -> InterestNetwork:
        return InterestNetwork(self.config)

    def _profiles(self, ctx: Context) -> ProfileVectors:
        sizes = zip(sorted(ctx.user_fields or {}), ctx.user_field_sizes, strict=True)
        return ProfileVectors(self.config.profile_dim, dict(sizes))

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters: fields are those of ctx.user_fields and user_numbers, modalities of ctx.item_features."""
        config = self.config
        items_rng, profile_rng, network_rng = jax.random.split(rng, 3)
        params: Params = {"items": init_items(items_rng, config, self.num_users, self.num_items, ctx)}
        profile = None
        if config.profile:
            if not field_names(ctx):
                raise UserError(
                    "profiles: found no field of any user's profile, allowed: at least one, or --model.no-profile"
                )
            columns = _of_users(ctx, jnp.zeros(1, jnp.int32))
            profile, variables = self._profiles(ctx).init_with_output(profile_rng, *columns)
            params["profile"] = variables["params"]
        one = jnp.zeros((1, 1, config.dim)), jnp.zeros((1, 1), bool), jnp.zeros((1, 1, config.num_interests))
        params["network"] = self._network.init(network_rng, *one, profile)["params"]
        return pad_rows(params, config.partition_rules, ctx.mesh), {}

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 13 as a softmax over the targets of the batch, the squared norm of all parameters, and MCLN's losses."""
        config = self.config
        routing_rng, loss_rng, pairs_rng = jax.random.split(rng, 3)
        histories = jnp.where(batch["mask"][:, None], self._latest(batch["histories"]), 0)
        targets = batch["target_item_ids"]
        catalogue = read_catalogue(params["items"], config, ctx)
        # A history and its target side by side, so that a device reads those of its share of the batch.
        places = jnp.concatenate([jnp.maximum(histories - 1, 0), targets[:, None]], axis=1)
        rows = item_vectors(params["items"], config, self.num_items, ctx, places.reshape(-1), catalogue)
        rows = rows.reshape(*places.shape, -1)
        items, target_items = rows[:, :-1], rows[:, -1]
        profile = self._profile(params, ctx, batch["user_ids"])
        interests = self._interests(params, items, histories, profile, routing_rng)
        parts = {
            "softmax": in_batch_softmax(
                interests.vectors,
                target_items,
                targets,
                histories,
                batch["mask"],
                loss_rng,
                num_negatives=config.in_batch_negatives,
                readout=config.readout,
                item_counts=ctx.item_counts if config.popularity_correction else None,
                mesh=ctx.mesh,
            ),
            "l2": config.regularization * squared_norm(params),
        }
        if config.num_negatives:
            triples = batch["user_ids"], targets, batch["negative_item_ids"][:, 0], batch["mask"]
            losses = pair_losses(
                params["items"], config.mcln, *triples, of_mcln(config, ctx), pairs_rng, catalogue=catalogue
            )
            parts |= {f"mcln_{name}": config.backbone_weight * part for name, part in losses.items()}
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def _profile(self, params: Params, ctx: Context, user_ids: jax.Array) -> jax.Array | None:
        """[B, N, profile_dim], or None where profiles are not read."""
        if not self.config.profile:
            return None
        return self._profiles(ctx).apply({"params": params["profile"]}, *_of_users(ctx, user_ids))  # type: ignore[return-value]

    def _interests(
        self, params: Params, items: jax.Array, histories: jax.Array, profile: jax.Array | None, rng: jax.Array
    ) -> Interests:
        logits = routing_logits(rng, histories, self.config.num_interests)
        return self._network.apply({"params": params["network"]}, items, histories > 0, logits, profile)  # type: ignore[return-value]

    def _histories(self, of_users: Any, batch: Batch) -> jax.Array:
        """[B, L] int32 of the batch or, where it brings none, of its users."""
        given = batch.get("histories")
        return self._latest(tuple(rows[batch["user_ids"]] for rows in of_users) if given is None else given)

    def _latest(self, histories: tuple[jax.Array, ...]) -> jax.Array:
        """[B, L] int32, at most max_length items, of the target behaviour."""
        return histories[-1][:, -self.config.max_length :]

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Vectors of the catalogue [I, d] and of the profiles [U, N, profile_dim], and the histories of the context."""
        catalogue = read_catalogue(params["items"], self.config, ctx)
        return {
            "network": params["network"],
            "items": item_vectors(params["items"], self.config, self.num_items, ctx, None, catalogue)[: self.num_items],
            "profiles": self._profile(params, ctx, jnp.arange(self.num_users, dtype=jnp.int32)),
            "histories": ctx.histories,
        }

    def insight(self, encoded: Encoded, batch: Batch) -> Insight:
        """The interests of the batch's users and what they are made of; histories are the batch's or the context's."""
        histories = self._histories(encoded["histories"], batch)
        items = encoded["items"][jnp.maximum(histories - 1, 0)]
        profiles = encoded["profiles"]
        profile = None if profiles is None else profiles[batch["user_ids"]]
        found = self._interests(encoded, items, histories, profile, jax.random.key(_EVALUATION_SEED))
        return Insight(found.vectors, found.coupling, found.item_gates, found.field_gates, histories)

    def field_names(self, ctx: Context) -> tuple[str, ...]:
        """Fields of the profile in the order of Insight.field_gates; none where profiles are not read."""
        return field_names(ctx) if self.config.profile else ()

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, K, D]."""
        return self.insight(encoded, batch).interests

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """[I, D], no bias."""
        return ItemVectors(encoded["items"], jnp.zeros(self.num_items))

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """Parameters, and the vectors of all items by row, equally many on each device."""
        catalogue = read_catalogue(params["items"], self.config, ctx)
        items = item_vectors(params["items"], self.config, self.num_items, ctx, None, catalogue)
        return {"params": params, "items": rows_apart(items, ctx.mesh)}

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """user_vectors of the batch's histories and profiles, the items looked up where their vectors are."""
        params, histories = encoded["params"], self._histories(ctx.histories, batch)
        items = batch_rows(encoded["items"], jnp.maximum(histories - 1, 0), ctx.mesh)
        profile = self._profile(params, ctx, batch["user_ids"])
        return self._interests(params, items, histories, profile, jax.random.key(_EVALUATION_SEED)).vectors

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """All items' vectors where their rows are, no bias."""
        return ItemVectors(encoded["items"], jnp.zeros(len(encoded["items"])))


def _of_users(ctx: Context, user_ids: jax.Array) -> tuple[Any, Any, Any]:
    """Fields, numbers and who has them, of some users."""
    columns = ctx.user_fields, ctx.user_numbers, ctx.user_number_masks
    return tuple({name: rows[user_ids] for name, rows in (held or {}).items()} for held in columns)  # type: ignore[return-value]
