"""M3BSR: what its parts read and leave out, where gradients go, and what padding, gaps and literal readings do."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.m3bsr import M3BSR, DenoisingConfig, M3BSRConfig
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.nn.split_gradient import split_gradient
from tests.models.world import M3BSR as SMALL
from tests.models.world import NUM_ITEMS, NUM_USERS, context, training_batch

replace = dataclasses.replace
NONE, MLP, CHAIN = (DenoisingConfig(kind="none"), DenoisingConfig(kind="mlp"), DenoisingConfig(inference="chain"))
LITERAL = DenoisingConfig(mean="paper", reverse="paper", denoiser="attention", objective="paper")
VARIANTS = {
    "w/o CDMD-M": replace(SMALL, modality=NONE),
    "w/o CDMD-B": replace(SMALL, behavior=NONE),
    "w/o MEIE": replace(SMALL, extraction="mean"),
    "w/o shared expert": replace(SMALL, shared_expert="none"),
    "w/o disentanglement": replace(SMALL, contrast=replace(SMALL.contrast, weight=0.0)),
    "MLP for CDMD": replace(SMALL, modality=MLP, behavior=MLP),
    "chain": replace(SMALL, modality=CHAIN, behavior=CHAIN),
    "literal": replace(
        SMALL,
        modality=LITERAL,
        behavior=LITERAL,
        behavior_condition="image",
        contrast=replace(SMALL.contrast, kind="paper"),
        output="tied",
    ),
    "raw": replace(SMALL, space="raw", user_field="none"),
}
# What each leaves of the parameters' names and of the loss's parts, by a word that they hold.
GONE = {
    "w/o CDMD-M": (("modality", "image_text_denoiser"), ("modality_diffusion",)),
    "w/o CDMD-B": (("behavior_0",), ("behavior_diffusion",)),
    "w/o MEIE": (("experts", "shared", "fusion"), ("contrast",)),
    "w/o shared expert": (("shared", "fusion"), ()),
    "w/o disentanglement": ((), ("contrast",)),
    "MLP for CDMD": (("denoiser",), ("modality_diffusion", "behavior_diffusion")),
    "chain": ((), ()),
    "literal": (("denoiser/network_in", "output/embedding"), ()),
    "raw": (("user_embedding", "items/image_projection"), ()),
}
PARTS = {"softmax", "contrast", "modality_diffusion", "behavior_diffusion"}


def world(config, **changes):
    """Model, context and parameters: drawn without init, which would be compiled for every variant."""
    ctx = dataclasses.replace(context(), **changes)
    model = M3BSR(config, NUM_USERS, NUM_ITEMS)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), ctx)[0])
    rng = np.random.default_rng(0)
    return model, ctx, jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), jnp.float32), shapes)


def names(params):
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree.leaves_with_path(params)]


def loss(model, params, ctx, batch=None):
    """The loss's parts, compiled without a gradient."""
    batch = training_batch(SMALL) if batch is None else batch
    return jax.jit(lambda params, ctx: model.loss(params, {}, batch, ctx, jax.random.key(1)).parts)(params, ctx)


@functools.cache
def vectors_of(config):
    model, ctx, params = world(config)
    return jax.jit(model.user_vectors), jax.jit(model.encode)(params, ctx)


def user_vectors(config, histories):
    """User vectors of some histories, of users 0 and on."""
    function, encoded = vectors_of(config)
    batch = {"user_ids": jnp.arange(len(histories[0])), "histories": tuple(map(jnp.asarray, histories))}
    return np.asarray(function(encoded, batch))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_finite_parts_and_leaves_out_what_it_names(variant):
    model, ctx, params = world(VARIANTS[variant])
    parts = loss(model, params, ctx)
    gone, missing = GONE[variant]
    assert set(parts) == PARTS - set(missing)
    assert all(jnp.isfinite(part) for part in parts.values())
    assert not [name for name in names(params) for word in gone if word in name]
    default = names(world(SMALL)[2])
    assert not [word for word in gone if not any(word in name for name in default)]


def test_three_behaviours_and_ids_alone():
    histories = context().histories
    three = (histories[0], histories[0][:, ::-1] * (histories[0] > 0), histories[1])
    none = {"item_features": {}, "item_feature_masks": {}, "item_fields": {}}
    for changes, experts in (({"histories": three}, 3 * 3 + 1), (none, 2 + 1)):
        model, ctx, params = world(SMALL, **changes)
        batch = training_batch(SMALL)
        batch["histories"] = tuple(rows[batch["user_ids"]] for rows in ctx.histories)

        def both(params, ctx, model=model, batch=batch):
            parts = model.loss(params, {}, batch, ctx, jax.random.key(1)).parts
            return parts, model.interests(model.encode(params, ctx), {"user_ids": jnp.arange(4)})

        parts, interests = jax.jit(both)(params, ctx)
        assert all(jnp.isfinite(part) for part in parts.values())
        assert ("modality_diffusion" in parts) == bool(ctx.item_features)
        assert interests.vectors.shape == (4, experts, SMALL.dim)
        assert jnp.isfinite(interests.users).all()
        assert ("behavior_1" in params["network"]) == (len(ctx.histories) == 3)


@pytest.mark.parametrize("variant", ["default", "chain", "w/o MEIE"])
def test_padding_changes_nothing_and_nothing_is_finite(variant):
    config = {"default": SMALL, **VARIANTS}[variant]
    short = np.array([[0, 3, 5], [0, 0, 0], [2, 4, 9], [0, 0, 0]], np.int32)
    favors = np.array([[0, 0, 7], [0, 1, 2], [0, 0, 0], [0, 0, 0]], np.int32)
    padded = [np.pad(rows, ((0, 0), (2, 0))) for rows in (short, favors)]
    vectors = user_vectors(config, (short, favors))
    np.testing.assert_allclose(user_vectors(config, padded), vectors, atol=2e-6)
    assert np.isfinite(vectors).all()
    # More than max_length events: the latest count.
    longer = [np.concatenate([np.full((4, 3), 11, np.int32), rows], axis=1) for rows in padded]
    if variant == "default":
        np.testing.assert_allclose(user_vectors(config, longer), vectors, atol=2e-6)


def test_a_history_is_read_wholly_and_in_order():
    clicks, favors = np.array([[0, 1, 2, 3, 4]], np.int32), np.array([[0, 0, 6, 7, 8]], np.int32)
    vectors = user_vectors(SMALL, (clicks, favors))
    for other in (
        (clicks[:, [0, 2, 1, 3, 4]], favors),
        (np.where(clicks == 1, 9, clicks), favors),
        (clicks, np.where(favors == 6, 9, favors)),
    ):
        assert np.abs(user_vectors(SMALL, other) - vectors).max() > 1e-5


def test_what_an_item_without_features_holds_is_not_read():
    model, ctx, params = world(SMALL)
    mask = ctx.item_feature_masks["image"]
    nonsense = {"image": jnp.where(mask[:, None], ctx.item_features["image"], 1e6), "text": ctx.item_features["text"]}
    other = dataclasses.replace(ctx, item_features=nonsense)
    assert not mask.all()
    given, same = loss(model, params, ctx), loss(model, params, other)
    for name, part in given.items():
        np.testing.assert_allclose(same[name], part, rtol=1e-6)
    # And it is no item whose features are zero.
    zeros = {"image": jnp.where(mask[:, None], ctx.item_features["image"], 0.0), "text": ctx.item_features["text"]}
    told = {"image": jnp.ones_like(mask), "text": ctx.item_feature_masks["text"]}
    zero = loss(model, params, dataclasses.replace(ctx, item_features=zeros, item_feature_masks=told))
    assert abs(zero["softmax"] - given["softmax"]) > 1e-6


def test_reconstruction_trains_the_denoisers_alone_and_the_main_loss_what_they_read_too():
    """M-21: without the main loss, no gradient goes to features or conditions; with it, through the denoisers."""
    model, ctx, params = world(replace(SMALL, contrast=replace(SMALL.contrast, weight=0.0)))
    batch = training_batch(SMALL)

    @jax.jit
    def part(params, weights):
        def objective(params):
            parts = model.loss(params, {}, batch, ctx, jax.random.key(1)).parts
            return sum(weights[int(name == "softmax")] * part for name, part in parts.items())

        return jax.grad(objective)(params)

    reconstruction, main = part(params, jnp.array([1.0, 0.0])), part(params, jnp.array([0.0, 1.0]))
    trained = {name for name, leaf in zip(names(params), jax.tree.leaves(reconstruction), strict=True) if leaf.any()}
    denoisers = {name for name in names(params) if name.startswith(("network/modality", "network/behavior_"))}
    assert trained <= denoisers
    assert len(trained) >= len(denoisers) - 1  # a bias of keys moves no softmax
    moved = {name for name, leaf in zip(names(params), jax.tree.leaves(main), strict=True) if leaf.any()}
    assert {"items/image_projection/kernel", "items/embedding"} <= moved
    assert any("modality/image_text_denoiser/network_out" in name for name in moved)


def test_split_gradient_is_two_calls_of_which_one_stops_at_the_inputs():
    def function(weights, x, y):
        return jnp.tanh(x @ weights) * y

    def two_calls(weights, x, y):
        return function(weights, x, y), function(weights, *jax.lax.stop_gradient((x, y)))

    arguments = [jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate([(3, 2), (4, 3), (4, 2)])]

    def objective(both):
        return lambda *arguments: (lambda a, b: (a**2).sum() + (3 * b).sum())(*both(*arguments))

    expected = jax.grad(objective(two_calls), argnums=(0, 1, 2))(*arguments)
    actual = jax.grad(objective(functools.partial(split_gradient, function)), argnums=(0, 1, 2))(*arguments)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), actual, expected)


def test_what_the_network_weighs_can_be_read():
    model, ctx, params = world(SMALL)
    encoded = jax.jit(model.encode)(params, ctx)
    users = {"user_ids": jnp.arange(6)}
    interests, attention = jax.jit(model.interests)(encoded, users), jax.jit(model.attention)(encoded, users)
    real = np.stack([np.asarray(rows[:6]) > 0 for rows in ctx.histories], axis=1)
    assert attention.shape == (6, 7, 5)
    # Experts: three modalities of clicks, three of favors, and what both share, at the clicks' places.
    of_expert = np.concatenate([np.repeat(real, 3, axis=1), real[:, :1]], axis=1)
    np.testing.assert_allclose(attention.sum(-1), of_expert.any(-1), atol=1e-5)
    assert not np.asarray(attention)[~of_expert].any()
    np.testing.assert_allclose(interests.summands.sum(1), interests.users, atol=1e-5)
    assert jnp.all((interests.gate > 0) & (interests.gate < 1))
    assert interests.denoised["text"].shape == interests.features["text"].shape == (6, 2, 5, SMALL.dim)
    np.testing.assert_array_equal(interests.denoised["id"][:, 1], interests.features["id"][:, 1])
    # Behind the projection an item's features are what `project` makes of them.
    item = int(ctx.histories[0][1, -1]) - 1
    assert ctx.item_feature_masks["image"][item]
    projected = model.project(params, "image", ctx.item_features["image"][item][None])
    np.testing.assert_allclose(interests.features["image"][1, 0, -1], projected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 9}, r"model\.dim: found 9, allowed: multiples of num_heads"),
        ({"behavior": DenoisingConfig(num_steps=0)}, r"model\.behavior\.num_steps: found 0, allowed: 1 or more"),
        ({"modality": DenoisingConfig(noise_high=1e-4)}, r"model\.modality\.noise_high: found 0\.0001, allowed: from"),
        ({"dropout": 1.0}, r"model\.dropout: found 1\.0, allowed: from 0 to below 1"),
        ({"loss": ItemLossConfig(num_negatives=0)}, r"model\.loss\.num_negatives: found 0"),
        ({"space": "raw", "id_dim": 3}, r"model\.id_dim: found 3, allowed: multiples of num_heads"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    M3BSRConfig().validate()
    with pytest.raises(UserError, match=message):
        replace(SMALL, **change).validate()


def test_data_that_the_model_cannot_read_are_refused():
    ctx = context()
    for config, changes, message in (
        (SMALL, {"histories": ctx.histories[1:]}, r"data\.behaviors: found 1 for model m3bsr, allowed: 2 or more"),
        (replace(SMALL, behavior_condition="sound"), {}, r"behavior_condition: found 'sound', allowed: same, image"),
        (replace(SMALL, space="raw", num_heads=4), {}, r"features\.image: found width 6, allowed: multiples"),
    ):
        model = M3BSR(config, NUM_USERS, NUM_ITEMS)
        with pytest.raises(UserError, match=message):
            model.init(jax.random.key(0), dataclasses.replace(ctx, **changes))
