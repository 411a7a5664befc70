"""UiM against NumPy, equation by equation; what padding, order, unknown values and empty histories do; its readings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.uim import UiM, UiMConfig
from jaxrec.nn.capsules import routing_logits
from tests.models.world import DIM, MAX_LENGTH, NUM_ITEMS, NUM_USERS, context, training_batch
from tests.models.world import UIM as JOINT

replace = dataclasses.replace
FUSION = replace(JOINT, backbone="fusion")
FROZEN = replace(JOINT, backbone="frozen")
VARIANTS = {
    "fusion": FUSION,
    "element": replace(FUSION, gate="element"),
    "literal": replace(FUSION, gate="element", fuse="gates"),
    "one": replace(FUSION, num_interests=1),
    "no profile": replace(FUSION, profile=False),
}
FIELDS = ("age", "gender", "activity")


def with_backbone(width):
    """The context with vectors of items as the modality named backbone; items 2 and 3 have none."""
    ctx, rng = context(), np.random.default_rng(5)
    mask = jnp.asarray(~np.isin(np.arange(NUM_ITEMS), (2, 3)))
    vectors = jnp.asarray(rng.normal(size=(NUM_ITEMS, width)), jnp.float32)
    features, masks = dict(ctx.item_features or {}), dict(ctx.item_feature_masks or {})
    return replace(ctx, item_features=features | {"backbone": vectors}, item_feature_masks=masks | {"backbone": mask})


def world(config, ctx=None):
    """Model, context and parameters: drawn without init, which would be compiled for every variant."""
    ctx = context() if ctx is None else ctx
    model = UiM(config, NUM_USERS, NUM_ITEMS)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), ctx)[0])
    rng = np.random.default_rng(0)
    return model, ctx, jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes)


@functools.cache
def compiled(config):
    model, ctx, params = world(config)
    return jax.jit(model.insight), jax.jit(model.encode)(params, ctx)


def insight(config, histories, users=None, **changes):
    """The insight into histories [B, L], of users 0 and on."""
    function, encoded = compiled(config)
    users = np.arange(len(histories)) if users is None else users
    batch = {"user_ids": jnp.asarray(users, jnp.int32), "histories": (jnp.asarray(histories, jnp.int32),)}
    return jax.tree.map(np.asarray, function(encoded | changes, batch))


def some_histories():
    rows = np.zeros((4, MAX_LENGTH), np.int32)
    rows[0], rows[1, 2:], rows[2, -1:] = (3, 1, 9, 12, 4), (7, 7, 2), 5
    return rows  # the last user has none


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def dense(params, name, values):
    return values @ params[name]["kernel"] + params[name].get("bias", 0.0)


def item_table(params, ctx):
    """Rows of the linear map of id and modalities."""
    total = dense(params, "id", params["embedding"])
    for name, rows in ctx.item_features.items():
        unit = np.asarray(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
        total = total + np.where(np.asarray(ctx.item_feature_masks[name])[:, None], dense(params, name, unit), 0.0)
    return total


def profile_of(params, ctx, user):
    fields = [params[f"{name}_embedding"][ctx.user_fields[name][user]] for name in ("age", "gender")]
    value = params["activity_slope"] * float(ctx.user_numbers["activity"][user]) + params["activity_offset"]
    known = bool(ctx.user_number_masks["activity"][user])
    return np.stack([*fields, value if known else params["activity_unknown"]])


def reference(config, history, user):
    """Interests [K, d], coupling [L, K], gates of items [L] and of fields [K, N] of one history: Eq. 4 to 11."""
    _, ctx, params = world(config)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    network, num = params["network"], config.num_interests
    items = item_table(params["items"], ctx)[np.maximum(history - 1, 0)]
    real, flat, profile = history > 0, np.zeros(0), None
    gates = np.ones(len(history))
    if config.profile:
        profile = profile_of(params["profile"], ctx, user)
        flat = profile.reshape(-1)
        hidden = np.maximum(dense(network, "inject_item", items) + dense(network, "inject_user", flat), 0)
        gates = sigmoid(dense(network, "inject_out", hidden)[:, 0])  # Eq. 4
    votes = np.einsum("ld,kdf->lkf", items, network["maps"])
    logits = np.asarray(routing_logits(jax.random.key(0), jnp.asarray(history)[None], num))[0].astype(np.float64)
    for _ in range(config.num_iterations):
        coupling = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) * real[:, None]  # Eq. 6
        sums = np.einsum("lk,l,lkf->kf", coupling, gates, votes)  # Eq. 5
        squares = (sums**2).sum(1, keepdims=True)
        capsules = squares / (1 + squares) * sums / np.sqrt(squares + 1e-9)  # Eq. 8
        logits = np.einsum("lkf,kf->lk", votes, capsules)  # Eq. 7
    joined, shown = capsules, np.zeros((num, 0))
    if profile is not None:
        hidden = np.maximum(dense(network, "gate_capsule", capsules) + dense(network, "gate_user", flat), 0)
        weights = sigmoid(dense(network, "gate_out", hidden))  # Eq. 9
        by_field = weights.reshape(num, len(profile), -1)
        gated = (by_field * profile[None]).reshape(num, -1)  # Eq. 10
        joined = np.concatenate([gated, weights if config.fuse == "gates" else capsules], axis=1)
        shown = by_field.mean(-1)
    vectors = dense(network, "interest_out", np.maximum(dense(network, "interest_in", joined), 0))  # Eq. 11
    return vectors, coupling, gates * real, shown


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_the_equations(name):
    config, histories = VARIANTS[name], some_histories()
    users = np.array([6, 5, 2, 9])  # of user 5 the number is unknown
    found = insight(config, histories, users)
    for row, user in enumerate(users):
        vectors, coupling, gates, shown = reference(config, histories[row], user)
        np.testing.assert_allclose(found.interests[row], vectors, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(found.coupling[row], coupling, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(found.item_gates[row], gates, rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(found.field_gates[row], shown, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(found.history, histories)


def test_fields_are_named_in_the_order_of_their_gates():
    model, ctx, _ = world(FUSION)
    assert model.field_names(ctx) == FIELDS
    assert UiM(VARIANTS["no profile"], NUM_USERS, NUM_ITEMS).field_names(ctx) == ()


def test_with_one_interest_the_capsule_is_the_weighted_sum_and_routing_changes_nothing():
    found = insight(VARIANTS["one"], some_histories())
    np.testing.assert_array_equal(found.coupling[..., 0], some_histories() > 0)
    more = insight(replace(VARIANTS["one"], num_iterations=1), some_histories())
    np.testing.assert_allclose(more.interests, found.interests, rtol=1e-5, atol=1e-6)


def test_padding_the_order_of_items_and_other_users_change_nothing():
    histories = some_histories()
    first = insight(FUSION, histories)
    shifted = histories[1:2][:, [0, 3, 2, 1, 4]]  # a gap, and another order
    np.testing.assert_allclose(insight(FUSION, shifted, [1]).interests, first.interests[1:2], rtol=1e-5, atol=1e-6)
    longer = np.pad(histories, ((0, 0), (3, 0)))
    np.testing.assert_allclose(insight(FUSION, longer).interests, first.interests, rtol=1e-5, atol=1e-6)
    more = np.pad(histories, ((0, 0), (1, 0)))
    more[0, 0] = 17  # beyond max_length
    np.testing.assert_allclose(insight(FUSION, more).interests, first.interests, rtol=1e-5, atol=1e-6)
    again = insight(FUSION, histories)
    jax.tree.map(np.testing.assert_array_equal, again, first)  # two evaluations give the same numbers


def test_without_a_history_interests_follow_from_the_profile():
    nothing = np.zeros((3, MAX_LENGTH), np.int32)
    found = insight(FUSION, nothing, [0, 1, 4])
    assert np.isfinite(found.interests).all()
    assert (found.coupling == 0).all()
    assert (found.item_gates == 0).all()
    assert np.abs(found.interests[0] - found.interests[1]).max() > 1e-3
    without = insight(VARIANTS["no profile"], nothing, [0, 1, 4])
    np.testing.assert_array_equal(without.interests[0], without.interests[1])


def test_more_interests_than_items_are_finite_and_coupling_sums_to_one():
    many = replace(FUSION, num_interests=7)
    found = insight(many, some_histories())
    assert np.isfinite(found.interests).all()
    np.testing.assert_allclose(found.coupling.sum(2), some_histories() > 0, atol=1e-5)


def test_unknown_values_have_vectors_of_their_own():
    model, ctx, params = world(FUSION)
    ctx = replace(ctx, user_fields={name: codes.at[0].set(0) for name, codes in ctx.user_fields.items()})
    known = replace(ctx, user_number_masks={"activity": jnp.ones(NUM_USERS, bool)})
    unknown = replace(ctx, user_number_masks={"activity": jnp.zeros(NUM_USERS, bool)})
    other = replace(unknown, user_numbers={"activity": jnp.full(NUM_USERS, jnp.nan)})
    read = jax.jit(lambda ctx: model.encode(params, ctx)["profiles"])
    np.testing.assert_array_equal(read(unknown), read(other))  # nobody reads what is masked
    assert jnp.any(read(known)[:, 2] != read(unknown)[:, 2])
    np.testing.assert_allclose(read(known)[0, 0], params["profile"]["age_embedding"][0])
    np.testing.assert_allclose(read(unknown)[0, 2], params["profile"]["activity_unknown"])


@pytest.mark.parametrize("width", [DIM, DIM + 3])
def test_a_frozen_backbone_is_read_as_it_is_or_mapped_and_gaps_have_a_vector(width):
    ctx = with_backbone(width)
    model, ctx, params = world(FROZEN, ctx)
    vectors = np.asarray(model.item_vectors(jax.jit(model.encode)(params, ctx)).vectors)
    given = np.asarray(ctx.item_features["backbone"], np.float64)
    expected = given if width == DIM else given @ np.asarray(params["items"]["map"]["kernel"], np.float64)
    known = np.asarray(ctx.item_feature_masks["backbone"])
    np.testing.assert_allclose(vectors[known], expected[known], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vectors[2:4], np.asarray(params["items"]["missing"])[None].repeat(2, 0))
    assert set(params["items"]) == ({"missing"} if width == DIM else {"missing", "map"})


def test_other_backbones_do_not_read_the_frozen_one():
    for config in (FUSION, JOINT):
        _, _, params = world(config, with_backbone(DIM))
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(params["items"])]
        assert any("image" in name for name in names)
        assert not any("backbone" in name for name in names)


def test_losses_of_the_backbones_and_readings_are_finite_and_named():
    drawn = replace(FUSION, in_batch_negatives=3, readout="argmax_target", popularity_correction=False)
    for config, ctx in ((drawn, context()), (FROZEN, with_backbone(DIM))):
        model, ctx, params = world(config, ctx)
        batch = training_batch(config)

        def objective(params, batch, model=model, ctx=ctx):
            output = model.loss(params, {}, batch, ctx, jax.random.key(1))
            return output.total, output.parts

        compiled = jax.jit(jax.value_and_grad(objective, has_aux=True))
        (total, parts), slopes = compiled(params, batch)
        assert set(parts) == {"softmax", "l2"}
        squares = sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in jax.tree.leaves(params))
        np.testing.assert_allclose(parts["l2"], config.regularization * squares, rtol=1e-5)  # Eq. 13
        assert all(jnp.isfinite(leaf).all() and jnp.any(leaf != 0) for leaf in jax.tree.leaves(slopes))
        other = batch | {"histories": tuple(rows.at[-1].set(3) for rows in batch["histories"])}  # of a masked row
        np.testing.assert_allclose(compiled(params, other)[0][0], total, rtol=1e-6)


def test_a_joint_backbone_wants_negatives_and_a_graph():
    assert (JOINT.num_negatives, JOINT.needs_graph, JOINT.needs_profiles) == (1, True, True)
    assert (FUSION.num_negatives, FUSION.needs_graph) == (0, False)
    assert replace(JOINT, backbone_weight=0.0).num_negatives == 0
    assert not VARIANTS["no profile"].needs_profiles


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_interests": 0}, r"model\.num_interests: found 0, allowed: 1 or more"),
        ({"profile": False, "fuse": "gates"}, r"model\.fuse: found gates, allowed: capsule, where profile is off"),
        ({"in_batch_negatives": 0}, r"model\.in_batch_negatives: found 0"),
        ({"dim": 12}, r"model\.mcln\.dim: found 64, allowed: 12, as model\.dim"),
        ({"backbone_weight": -1.0}, r"model\.backbone_weight: found -1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    UiMConfig().validate()
    with pytest.raises(UserError, match=message):
        replace(UiMConfig(), **changes).validate()


def test_data_that_lacks_what_is_read_is_refused():
    ctx = context()
    with pytest.raises(UserError, match=r"features\.paths: found image, text, allowed: with model\.backbone frozen"):
        UiM(FROZEN, NUM_USERS, NUM_ITEMS).init(jax.random.key(0), ctx)
    nobody = replace(ctx, user_fields={}, user_field_sizes=(), user_numbers={}, user_number_masks={})
    with pytest.raises(UserError, match=r"profiles: found no field.*--model\.no-profile"):
        UiM(FUSION, NUM_USERS, NUM_ITEMS).init(jax.random.key(0), nobody)
