"""What MCLN makes of users and items, and its losses: usable by itself and behind another model.

Li et al., "Multi-modal Counterfactual Learning Network for Multimedia-based Recommendation", SIGIR 2023. Ids are
propagated over the interactions; the id and the projected modalities of an item are its tokens, which attend to each
other, less the attention that an item would attract that the user has not chosen.
"""

from __future__ import annotations

import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax.linen.initializers import xavier_uniform

from jaxrec.errors import UserError
from jaxrec.models.base import Context, Params
from jaxrec.models.mcln_config import MCLNItemsConfig
from jaxrec.nn.contrast import normalize
from jaxrec.nn.losses import bpr_loss, half_squared_norm
from jaxrec.nn.modality_attention import ModalityAttention
from jaxrec.nn.negative_sampling import sample_negatives
from jaxrec.nn.propagation import propagate, propagate_rows
from jaxrec.nn.sharding import by_feature, by_row, everywhere

IMAGES = ("image", "visual")  # what MCLNItemsConfig.image_weight is of


@flax.struct.dataclass
class Catalogue:
    """What is computed of users and items at once, once a step.

    nodes: [U + I, d] propagated, by feature on a mesh. tokens: [I, T, d] the propagated id and each modality, in order
    of their names; mask: [I, T] bool, False where an item lacks the modality. On a mesh both are by item, with items
    that lack all behind the last where the devices do not divide I.
    """

    nodes: jax.Array
    tokens: jax.Array
    mask: jax.Array


def modality_names(ctx: Context) -> tuple[str, ...]:
    """Modalities of the data, in order."""
    return tuple(sorted(ctx.item_features or {}))


def init_items(rng: jax.Array, config: MCLNItemsConfig, num_users: int, num_items: int, ctx: Context) -> Params:
    """First parameters, Xavier-uniform, users and items apart.

    {"nodes": {"embedding": [U + I, d]}, "modalities": {name: {"kernel": [W, d]}}, "attention": blocks, "output":
    {"kernel": [T d, d]}}, and "negative_output" like "output" in the paper's reading.
    """
    names, xavier, dim = modality_names(ctx), xavier_uniform(), config.dim
    if not names:
        raise UserError("features.paths: found no vectors of items for MCLN, allowed: one modality or more")
    user_rng, item_rng, projection_rng, attention_rng, output_rng = jax.random.split(rng, 5)
    tables = [xavier(user_rng, (num_users, dim)), xavier(item_rng, (num_items, dim))]
    features = ctx.item_features or {}
    width = (1 + len(names)) * dim
    outputs = ("output",) if config.counterfactual == "alike" else ("output", "negative_output")
    rows = (1, 1, width) if config.attend == "batch" else (1, 1 + len(names), dim)
    there = jnp.ones(rows[:2], bool)
    attention = ModalityAttention(config.num_blocks).init(attention_rng, jnp.zeros(rows), there, jnp.zeros(rows), there)
    return {
        "nodes": {"embedding": jnp.concatenate(tables)},
        "modalities": {
            name: {"kernel": xavier(jax.random.fold_in(projection_rng, place), (features[name].shape[1], dim))}
            for place, name in enumerate(names)
        },
        "attention": attention["params"],
    } | {
        name: {"kernel": xavier(jax.random.fold_in(output_rng, place), (width, dim))}
        for place, name in enumerate(outputs)
    }


def read_catalogue(params: Params, config: MCLNItemsConfig, ctx: Context) -> Catalogue:
    """One propagation of the ids and one projection of each modality, of all users and items."""
    nodes = propagate(params["nodes"]["embedding"], ctx.graph, num_layers=config.num_layers, mesh=ctx.mesh)
    nodes = by_feature(nodes, ctx.mesh)
    ids = nodes[ctx.graph.num_users :]
    if ctx.mesh is None:
        return Catalogue(nodes, *_tokens(params, ctx, ids, None))
    ids = by_row(by_feature(jnp.pad(ids, ((0, -len(ids) % ctx.mesh.size), (0, 0))), ctx.mesh), ctx.mesh)
    places = by_row(jnp.arange(len(ids), dtype=jnp.int32), ctx.mesh)
    tokens, mask = _tokens(params, ctx, ids, jnp.minimum(places, ctx.graph.num_items - 1))
    return Catalogue(nodes, tokens, mask & (places < ctx.graph.num_items)[:, None])


def _token_rows(
    params: Params, ctx: Context, catalogue: Catalogue, item_ids: jax.Array, axis: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Tokens [..., T, d] and their mask of items [...] int32; on a mesh each device has its share along the axis.

    There ids are told as they lie, by feature, which is less than tokens; and each device projects for its own rows.
    """
    if ctx.mesh is None:
        return catalogue.tokens[item_ids], catalogue.mask[item_ids]
    item_ids = everywhere(item_ids, ctx.mesh)
    ids = by_feature(catalogue.nodes[item_ids + ctx.graph.num_users], ctx.mesh)
    return _tokens(params, ctx, by_row(ids, ctx.mesh, axis), by_row(item_ids, ctx.mesh, axis))


def item_vectors(
    params: Params,
    config: MCLNItemsConfig,
    ctx: Context,
    item_ids: jax.Array | None = None,
    catalogue: Catalogue | None = None,
) -> jax.Array:
    """All that MCLN scores an item by, id + weight * image + other modalities + what they are fused to: [I, d], or
    [R, d] of item_ids [R] int32. Nothing is drawn; catalogue: that of `read_catalogue`, where it is at hand.
    """
    catalogue = read_catalogue(params, config, ctx) if catalogue is None else catalogue
    tokens, mask = others, other_mask = catalogue.tokens, catalogue.mask
    if item_ids is not None:
        tokens, mask = _token_rows(params, ctx, catalogue, item_ids)
    if config.counterfactual == "paper":
        fused = _fuse(params, config, tokens, mask, tokens, mask)
    elif config.attend == "batch":
        # The mean of what unchosen items attract is the same for every row that is read: the softmax does not see it.
        fused = _fuse(params, config, tokens, mask)
    else:
        fused = _fuse(params, config, tokens, mask, others, other_mask, average=True)
    vectors = jnp.einsum("rtd,t->rd", tokens, _weights(config, ctx)) + fused
    return vectors if item_ids is not None else vectors[: ctx.graph.num_items]


def pair_losses(
    params: Params,
    config: MCLNItemsConfig,
    user_ids: jax.Array,
    item_ids: jax.Array,
    negative_item_ids: jax.Array,
    mask: jax.Array,
    ctx: Context,
    rng: jax.Array,
    catalogue: Catalogue | None = None,
) -> dict[str, jax.Array]:
    """MCLN's loss of one batch in weighted parts: a BPR of the ids, of each modality and of the fused vectors, and L2.

    user_ids, item_ids, negative_item_ids: [B] int32; mask: [B] bool. For each row one more item is drawn that its user
    has not chosen, whose attention is subtracted. catalogue: that of `read_catalogue`, where it is at hand.
    """
    user_ids, item_ids, negative_item_ids, mask = everywhere((user_ids, item_ids, negative_item_ids, mask), ctx.mesh)
    drawn = sample_negatives(rng, user_ids, ctx.graph.user_indptr, ctx.graph.user_items, ctx.graph.num_items)
    items = everywhere(jnp.stack([item_ids, negative_item_ids, drawn]), ctx.mesh)
    table = params["nodes"]["embedding"]
    # Attention mixes features: each device takes some rows of the batch with all of theirs.
    mesh = ctx.mesh if config.attend == "item" else None
    if catalogue is None:
        rows = user_ids, items.reshape(-1)
        nodes = propagate_rows(table, ctx.graph, rows, num_layers=config.num_layers, mesh=ctx.mesh).mean(0)
        users = by_feature(nodes[: len(user_ids)], ctx.mesh)
        ids = by_feature(nodes[len(user_ids) :].reshape(*items.shape, -1), ctx.mesh)
        tokens, there = _tokens(params, ctx, by_row(ids, mesh, 1), by_row(items, mesh, 1))
    else:
        users = by_feature(catalogue.nodes[user_ids], ctx.mesh)
        tokens, there = _token_rows(params, ctx, catalogue, items, 1)
    users, masked = by_row(users, mesh), by_row(mask, mesh)
    fused = _fuse_pairs(params, config, tokens, there, masked)  # [2, B, d]
    parts: dict[str, jax.Array] = {}
    for place, name in enumerate(("id", *modality_names(ctx))):
        rows = masked & there[0, :, place] & there[1, :, place]
        parts[f"bpr_{name}"] = bpr_loss(users, tokens[0, :, place], tokens[1, :, place], rows)
    parts["bpr_fused"] = bpr_loss(users, fused[0], fused[1], masked)
    ego = table[everywhere(jnp.concatenate([user_ids[None], items[:2] + ctx.graph.num_users]), ctx.mesh)]
    projected = jnp.moveaxis(tokens[:2, :, 1:], 2, 0).reshape(-1, *fused.shape[1:])
    norms = half_squared_norm(ego, mask) + half_squared_norm(jnp.concatenate([projected, fused]), masked)
    parts["l2"] = config.regularization * norms
    return parts


def _tokens(params: Params, ctx: Context, ids: jax.Array, item_ids: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Tokens [..., T, d] and their mask [..., T] of items [...] int32, or of all, whose propagated ids are [..., d]."""
    tokens, masks = [ids], [jnp.ones(ids.shape[:-1], bool)]
    for name in modality_names(ctx):
        assert ctx.item_features is not None
        assert ctx.item_feature_masks is not None
        features, mask = ctx.item_features[name], ctx.item_feature_masks[name]
        kernel = params["modalities"][name]["kernel"]
        if item_ids is None:
            projected = project(features, mask, kernel)
        elif ctx.mesh is None and len(features) <= item_ids.size:
            projected, mask = project(features, mask, kernel)[item_ids], mask[item_ids]
        else:
            mask = mask[item_ids]
            projected = project(features[item_ids], mask, kernel)
        tokens.append(projected)
        masks.append(mask)
    return jnp.stack(tokens, axis=-2), jnp.stack(masks, axis=-1)


def project(features: jax.Array, mask: jax.Array, kernel: jax.Array) -> jax.Array:
    """Features [..., W] scaled to unit length times kernel [W, d]; 0 where the mask [...] has none."""
    return normalize(jnp.where(mask[..., None], features, 0.0)) @ kernel


def _weights(config: MCLNItemsConfig, ctx: Context) -> jax.Array:
    """The weight of each token in a score, [T]."""
    return jnp.array([1.0, *(config.image_weight if name in IMAGES else 1.0 for name in modality_names(ctx))])


def _fuse_pairs(
    params: Params, config: MCLNItemsConfig, tokens: jax.Array, there: jax.Array, mask: jax.Array
) -> jax.Array:
    """Fused vectors of positives and negatives, [2, B, d]; tokens [3, B, T, d] of there [3, B, T]."""
    positives, negatives, drawn = zip(tokens, there, strict=True)
    if (config.attend, config.counterfactual) == ("item", "alike"):
        return _fuse(params, config, tokens[:2], there[:2], *drawn)
    options: dict[str, Any] = {"rows": mask} if config.attend == "batch" else {}
    if config.counterfactual == "paper":
        fused = _fuse(params, config, *positives, *drawn, **options)
        return jnp.stack([fused, _fuse(params, config, *negatives, output="negative_output", **options)])
    return jnp.stack([_fuse(params, config, *own, *drawn, **options) for own in (positives, negatives)])


def _fuse(
    params: Params,
    config: MCLNItemsConfig,
    tokens: jax.Array,
    mask: jax.Array,
    others: jax.Array | None = None,
    other_mask: jax.Array | None = None,
    *,
    average: bool = False,
    rows: jax.Array | None = None,
    output: str = "output",
) -> jax.Array:
    """One vector [..., d] of each item's tokens [..., T, d] under mask [..., T]; others as in ModalityAttention.

    rows: [R] bool, which rows are real, where items attend to each other.
    """
    items, width = tokens.shape[:-2], math.prod(tokens.shape[-2:])
    if config.attend == "batch":
        flat = jnp.where(mask[..., None], tokens, 0.0).reshape(1, -1, width)
        real = (jnp.ones(len(tokens), bool) if rows is None else rows)[None]
        if others is not None:
            assert other_mask is not None
            others = jnp.where(other_mask[..., None], others, 0.0).reshape(1, -1, width)
            other_mask = real
        tokens, mask = flat, real
    attention = ModalityAttention(config.num_blocks)
    read = attention.apply({"params": params["attention"]}, tokens, mask, others, other_mask, average=average)
    assert isinstance(read, jax.Array)
    return jax.nn.relu(read.reshape(*items, width) @ params[output]["kernel"])
