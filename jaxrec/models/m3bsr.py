"""M3BSR: the next item from several behaviours and modalities, denoised by conditional diffusion.

Cui et al., "Multi-Modal Multi-Behavior Sequential Recommendation with Conditional Diffusion-Based Feature Denoising",
SIGIR 2025. Features of items are denoised under their ids, shallow behaviours (clicks) under deeper ones (favors);
experts take out what behaviours and modalities share and what each has alone; a gate joins them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrec.data.batch import Batch
from jaxrec.errors import UserError
from jaxrec.models.base import Context, Encoded, Extra, ItemVectors, LossOutput, Params
from jaxrec.models.m3bsr_config import DenoisingConfig, DisentanglementConfig, M3BSRConfig
from jaxrec.models.m3bsr_input import ItemTokens, Tokens, history_tokens, item_tokens, modality_names, unit_variance
from jaxrec.models.m3bsr_network import Interests, M3BSRNetwork
from jaxrec.nn.disentanglement import literal_contrast, repulsion
from jaxrec.nn.item_losses import item_loss
from jaxrec.nn.losses import masked_mean
from jaxrec.nn.partition_rules import pad_rows

__all__ = ["M3BSR", "DenoisingConfig", "DisentanglementConfig", "M3BSRConfig"]

_CONTRASTS = {"repulse": repulsion, "paper": literal_contrast}


@dataclasses.dataclass(frozen=True)
class M3BSR:
    """The model's functions over plain parameters.

    {"items": what items are by themselves, "network": everything between history and user vector, "output":
    {"embedding": [I, D] or "kernel": [id_dim, D], "bias": [I]}}. There is no extra state.
    """

    config: M3BSRConfig
    num_users: int
    num_items: int

    @property
    def _items(self) -> ItemTokens:
        return ItemTokens(self.config, self.num_items)

    @property
    def _network(self) -> M3BSRNetwork:
        return M3BSRNetwork(self.config, self.num_users)

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """First parameters: behaviours are those of ctx.histories, modalities those of ctx.item_features."""
        config = self.config
        self._check(ctx)
        assert ctx.histories is not None
        items_rng, network_rng, output_rng = jax.random.split(rng, 3)
        no_items = jnp.zeros((1, len(ctx.histories), 1), jnp.int32)
        columns = [
            {name: column[no_items] for name, column in (columns or {}).items()}
            for columns in (ctx.item_fields, ctx.item_features, ctx.item_feature_masks)
        ]
        tokens, items = self._items.init_with_output(items_rng, no_items, *columns)
        streams: Any = dict(zip(("params", "noise", "dropout"), jax.random.split(network_rng, 3), strict=True))
        mask = jnp.zeros(no_items.shape, bool)
        network = self._network.init(streams, tokens, jnp.zeros(1, jnp.int32), mask, True)
        rows = ("embedding", self.num_items) if config.output == "free" else ("kernel", config.id_dim)
        output = {
            rows[0]: config.init_std * jax.random.normal(output_rng, (rows[1], config.dim)),
            "bias": jnp.zeros(self.num_items),
        }
        params = {"items": items["params"], "network": network["params"], "output": output}
        return pad_rows(params, config.partition_rules, ctx.mesh), {}

    def _check(self, ctx: Context) -> None:
        """Raise UserError where the data lacks what the model is about."""
        found = 0 if ctx.histories is None else len(ctx.histories)
        if found < 2:
            raise UserError(f"data.behaviors: found {found or 1} for model m3bsr, allowed: 2 or more, the target last")
        condition, names = self.config.behavior_condition, modality_names(ctx)
        if condition not in ("same", *names):
            raise UserError(f"model.behavior_condition: found {condition!r}, allowed: same, {', '.join(names)}")
        if self.config.space == "raw":
            for name, feature in (ctx.item_features or {}).items():
                if feature.shape[1] % self.config.num_heads:
                    raise UserError(
                        f"features.{name}: found width {feature.shape[1]}, allowed: multiples of model.num_heads "
                        f"({self.config.num_heads}) in the raw space"
                    )

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Eq. 25: the loss over items, disentanglement, and both reconstruction errors; all of them means (M-20)."""
        config = self.config
        noise_rng, dropout_rng, loss_rng = jax.random.split(rng, 3)
        histories = self._stack(batch["histories"], batch["mask"])
        tokens = history_tokens(self._items, params["items"], ctx, histories)
        streams = {"noise": noise_rng, "dropout": dropout_rng}
        interests = self._apply(params, tokens, batch["user_ids"], histories, train=True, rngs=streams, mesh=ctx.mesh)
        table = self._outputs(params)
        main = item_loss(
            config.loss,
            interests.users,
            table.vectors,
            batch["target_item_ids"],
            batch["mask"],
            batch.get("negative_item_ids"),
            loss_rng,
            bias=table.bias,
            item_counts=ctx.item_counts,
            num_items=self.num_items,
            mesh=ctx.mesh,
        )
        parts = {config.loss.name: main}
        if config.contrast.weight > 0 and interests.vectors is not None:
            by_row = _CONTRASTS[config.contrast.kind](interests.vectors, config.contrast.temperature)
            parts["contrast"] = config.contrast.weight * masked_mean(by_row, batch["mask"])
        if config.modality.kind == "diffusion" and len(tokens) > 1:
            parts["modality_diffusion"] = config.modality.weight * interests.modality_error
        if config.behavior.kind == "diffusion":
            parts["behavior_diffusion"] = config.behavior.weight * interests.behavior_error
        return LossOutput(sum(parts.values(), jnp.zeros(())), parts, extra)

    def _stack(self, histories: tuple[jax.Array, ...], mask: jax.Array | None = None) -> jax.Array:
        """[B, N, L] int32, at most max_length events of each behaviour; nothing in padded rows."""
        stacked = jnp.stack([rows[:, -self.config.max_length :] for rows in histories], axis=1)
        return stacked if mask is None else jnp.where(mask[:, None, None], stacked, 0)

    def _apply(
        self, params: Params, tokens: Tokens, user_ids: jax.Array, histories: jax.Array, train: bool, **options: Any
    ) -> Any:
        variables = {"params": params["network"]}
        return self._network.apply(variables, tokens, user_ids, histories > 0, train, **options)

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """Parameters, the catalogue's tokens, and the histories of the part that is ranked."""
        tokens = item_tokens(self._items, params["items"], ctx)
        return {"params": params, "tokens": tokens, "histories": ctx.histories}

    def interests(self, encoded: Encoded, batch: Batch) -> Interests:
        """All that the network makes of the batch's histories, or of those of its users; nothing is drawn."""
        histories, tokens = self._read(encoded, batch)
        return self._apply(encoded["params"], tokens, batch["user_ids"], histories, train=False)

    def attention(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """How much each expert's vector reads of each event, in the last layer, mean over heads: [B, E, L].

        Experts in order of behaviour and modality, then those of what shallower behaviours share with the target; they
        read the places of their own behaviour's history. Rows sum to 1, or to 0 without a history.
        """
        histories, tokens = self._read(encoded, batch)
        options = {"mutable": ["intermediates"]}
        _, kept = self._apply(encoded["params"], tokens, batch["user_ids"], histories, train=False, **options)
        encoder = kept["intermediates"]["experts"]["experts"]["encoder"]
        (weights,) = encoder[f"layer_{self.config.num_layers - 1}"]["attention"]["weights"]
        return weights[:, :, :, -1].mean(2).swapaxes(0, 1)

    def project(self, params: Params, modality: str, features: jax.Array) -> jax.Array:
        """Features [N, W] of a modality in the space that is denoised, [N, w]: where a truth can be compared."""
        if self.config.space == "raw":
            return features
        layer = params["items"][f"{modality}_projection"]
        return unit_variance(features @ layer["kernel"] + layer["bias"][None, :])

    def _read(self, encoded: Encoded, batch: Batch) -> tuple[jax.Array, Tokens]:
        histories = self._histories(encoded["histories"], batch)
        places = jnp.maximum(histories - 1, 0)
        return histories, {name: rows[places] for name, rows in encoded["tokens"].items()}

    def _histories(self, of_users: Any, batch: Batch) -> jax.Array:
        given = batch.get("histories")
        return self._stack(tuple(rows[batch["user_ids"]] for rows in of_users) if given is None else given)

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, 1, D]."""
        return self.interests(encoded, batch).users[:, None, :]

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """W_y and b of Eq. 23: [I, D], [I]."""
        return jax.tree.map(lambda rows: rows[: self.num_items], self._outputs(encoded["params"]))

    def _outputs(self, params: Params) -> ItemVectors:
        """The same with the rows behind the last item, where the parameters have them."""
        output = params["output"]
        vectors = output["embedding"] if "embedding" in output else params["items"]["embedding"] @ output["kernel"]
        return ItemVectors(vectors, output["bias"])

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """Nothing: the catalogue's tokens would be a table that every device has whole."""
        return params

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """user_vectors out of the tokens of the batch's histories, tables looked up where their rows are."""
        histories = self._histories(ctx.histories, batch)
        tokens = history_tokens(self._items, encoded["items"], ctx, histories, whole_catalogue=False)
        interests = self._apply(encoded, tokens, batch["user_ids"], histories, train=False, mesh=ctx.mesh)
        return interests.users[:, None, :]

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """W_y and b of Eq. 23 where their rows are."""
        return self._outputs(encoded)
