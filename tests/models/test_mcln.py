"""MCLN and VBPR against NumPy: dense propagation, a loss a channel, the vectors that rank, what is missing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.mcln import MCLN, MCLNConfig
from jaxrec.models.mcln_config import MCLN_GRAPH
from jaxrec.models.mcln_network import item_vectors, pair_losses, read_catalogue
from jaxrec.models.vbpr import VBPR, VBPRConfig
from jaxrec.nn.graph import build_graph
from jaxrec.nn.negative_sampling import sample_negatives
from tests.models.world import DIM, NUM_ITEMS, NUM_USERS, batch, context, interactions
from tests.nn.test_modality_attention import attended, other_scores

CONFIG = MCLNConfig(dim=DIM, num_layers=3, regularization=0.1)
RNG = jax.random.key(4)
MODALITIES = ("image", "text")


@functools.cache
def world():
    graph = build_graph(*interactions(), NUM_USERS, NUM_ITEMS, **MCLN_GRAPH)
    return dataclasses.replace(context(), graph=graph)


@functools.cache
def started(config=CONFIG):
    model, ctx = MCLN(config, NUM_USERS, NUM_ITEMS), world()
    params, _ = jax.jit(model.init)(jax.random.key(0), ctx)
    noise = jax.random.normal(jax.random.key(3), (2000,))
    return model, jax.tree.map(lambda leaf: leaf + 0.3 * jnp.resize(noise, leaf.shape), params), ctx


def reference(params, ctx):
    """Users [U, d], tokens [I, T, d] and their mask in float64, by a dense matrix with self loops."""
    plain = np.eye(NUM_USERS + NUM_ITEMS)
    users, items = interactions()
    plain[users, NUM_USERS + items] = plain[NUM_USERS + items, users] = 1
    degrees = plain.sum(1)
    adjacency = degrees[:, None] ** -0.5 * plain * degrees[None, :] ** -0.4
    table = params["nodes"]["embedding"]
    nodes = sum(np.linalg.matrix_power(adjacency, layer) @ table for layer in range(4)) / 4
    tokens, masks = [nodes[NUM_USERS:]], [np.ones(NUM_ITEMS, bool)]
    for name in MODALITIES:
        features, mask = np.asarray(ctx.item_features[name], np.float64), np.asarray(ctx.item_feature_masks[name])
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        tokens.append(np.where(mask[:, None], unit @ params["modalities"][name]["kernel"], 0))
        masks.append(mask)
    return nodes[:NUM_USERS], np.stack(tokens, 1), np.stack(masks, 1)


def fused(params, tokens, mask, subtracted):
    read = attended(params["attention"], tokens, mask, subtracted)
    return np.maximum(read.reshape(-1) @ params["output"]["kernel"], 0)


def as_float64(params):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def test_the_loss_of_a_batch_is_that_of_loops_over_its_rows():
    model, params, ctx = started()
    rows = batch()
    parts = jax.jit(model.loss)(params, {}, rows, ctx, RNG).parts
    params = as_float64(params)
    users, tokens, mask = reference(params, ctx)
    drawn = sample_negatives(RNG, rows["user_ids"], ctx.graph.user_indptr, ctx.graph.user_items, NUM_ITEMS)
    terms, squares = {f"bpr_{name}": [] for name in ("id", *MODALITIES, "fused")}, 0.0
    table = params["nodes"]["embedding"]
    ids = (np.asarray(rows[name])[:13] for name in ("user_ids", "item_ids", "negative_item_ids"))
    for u, i, j, c in zip(*ids, np.asarray(drawn)[:13], strict=True):
        seen = set(interactions()[1][interactions()[0] == u].tolist())
        assert int(c) not in seen
        subtracted = [other_scores(params["attention"], block, tokens[c], mask[c]) for block in range(2)]
        both = [fused(params, tokens[item], mask[item], subtracted) for item in (i, j)]
        for place, name in enumerate(("id", *MODALITIES)):
            if mask[i, place] and mask[j, place]:
                terms[f"bpr_{name}"].append(np.log1p(np.exp(users[u] @ (tokens[j, place] - tokens[i, place]))))
        terms["bpr_fused"].append(np.log1p(np.exp(users[u] @ (both[1] - both[0]))))
        squares += sum((table[row] ** 2).sum() for row in (u, NUM_USERS + i, NUM_USERS + j))
        squares += (tokens[[i, j], 1:] ** 2).sum() + (np.array(both) ** 2).sum()
    assert len(terms["bpr_image"]) < 13
    expected = {name: np.mean(values) for name, values in terms.items()} | {"l2": 0.1 * 0.5 * squares / 13}
    assert parts.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-4, err_msg=name)


def test_items_rank_by_ids_modalities_and_fused_vectors_less_the_mean_of_the_catalogue():
    model, params, ctx = started()
    encoded = jax.jit(model.encode)(params, ctx)
    actual = model.item_vectors(encoded).vectors
    again = jax.jit(model.encode)(params, ctx)
    np.testing.assert_array_equal(actual, model.item_vectors(again).vectors)
    params = as_float64(params)
    users, tokens, mask = reference(params, ctx)
    pairs = np.maximum((mask[:, :, None] & mask[:, None]).sum(0), 1)
    means = [
        sum(other_scores(params["attention"], block, tokens[item], mask[item]) for item in range(NUM_ITEMS)) / pairs
        for block in range(2)
    ]
    expected = [
        tokens[item, 0] + 0.3 * tokens[item, 1] + tokens[item, 2] + fused(params, tokens[item], mask[item], means)
        for item in range(NUM_ITEMS)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoded[0], users, rtol=1e-4, atol=1e-5)


# Both literal readings at once are in the contract's suite.
@pytest.mark.parametrize(("attend", "counterfactual"), [("item", "alike"), ("item", "paper"), ("batch", "alike")])
def test_every_reading_with_a_catalogue_at_hand_is_the_same_as_without(attend, counterfactual):
    small = dataclasses.replace(CONFIG, num_layers=1, num_blocks=1)
    model, params, ctx = started(dataclasses.replace(small, attend=attend, counterfactual=counterfactual))
    rows, some = batch(), jnp.array([4, 4, 0], jnp.int32)
    ids = [rows[name] for name in ("user_ids", "item_ids", "negative_item_ids", "mask")]

    @jax.jit
    def both(params, ctx):
        catalogue = read_catalogue(params, model.config, ctx)
        losses = [pair_losses(params, model.config, *ids, ctx, RNG, given) for given in (None, catalogue)]
        vectors = [item_vectors(params, model.config, ctx, *more) for more in ((), (some, catalogue))]
        return losses, vectors

    (alone, shared), (vectors, few) = both(params, ctx)
    for name, value in alone.items():
        np.testing.assert_allclose(value, shared[name], rtol=1e-5)
    assert np.isfinite(vectors).all()
    if attend == "item":  # otherwise an item's vector is a matter of who else is read
        np.testing.assert_allclose(few, vectors[some], rtol=1e-5, atol=1e-6)


def test_literal_positives_alone_lose_attention_and_have_their_own_last_layer():
    literal = dataclasses.replace(CONFIG, counterfactual="paper")
    model, params, ctx = started(literal)
    rows = batch() | {"negative_item_ids": batch()["item_ids"]}
    alike = MCLN(CONFIG, NUM_USERS, NUM_ITEMS)
    shared = {name: params[name] for name in params if name != "negative_output"}
    same = jax.jit(alike.loss)(shared, {}, rows, ctx, RNG)
    np.testing.assert_allclose(same.parts["bpr_fused"], np.log(2), rtol=1e-5)  # an item against itself
    other = jax.jit(model.loss)(params, {}, rows, ctx, RNG)
    assert abs(float(other.parts["bpr_fused"]) - np.log(2)) > 1e-3


def test_a_missing_modality_counts_nothing_whatever_its_row_holds():
    model, params, ctx = started()
    features = {
        name: jnp.where(ctx.item_feature_masks[name][:, None], rows, jnp.nan)
        for name, rows in ctx.item_features.items()
    }
    spoilt = dataclasses.replace(ctx, item_features=features)
    expected = jax.jit(model.encode)(params, ctx)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(model.encode)(params, spoilt), expected)
    gradient = jax.jit(jax.grad(lambda params, ctx: model.loss(params, {}, batch(), ctx, RNG).total))
    jax.tree.map(np.testing.assert_array_equal, gradient(params, spoilt), gradient(params, ctx))


@pytest.mark.parametrize("build", [lambda: MCLN(CONFIG, 2, 2), lambda: VBPR(VBPRConfig(), 2, 2)])
def test_data_without_vectors_of_items_is_refused(build):
    with pytest.raises(UserError, match="no vectors of items"):
        build().init(jax.random.key(0), dataclasses.replace(world(), item_features={}))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (MCLNConfig(dim=0), "model.dim: found 0"),
        (MCLNConfig(num_blocks=0), "model.num_blocks: found 0"),
        (MCLNConfig(image_weight=-0.1), "model.image_weight: found -0.1"),
        (VBPRConfig(init_std=0.0), "model.init_std: found 0.0"),
    ],
)
def test_a_value_without_a_meaning_is_refused(config, field):
    with pytest.raises(UserError, match=field):
        config.validate()


def test_vbpr_is_matrix_factorisation_with_a_visual_score_and_two_biases():
    model, ctx, rows = VBPR(VBPRConfig(dim=4, regularization=0.2), NUM_USERS, NUM_ITEMS), world(), batch()
    params, _ = jax.jit(model.init)(jax.random.key(0), ctx)
    params["item_bias"] = jnp.linspace(-1, 1, NUM_ITEMS)
    for layer in params["modalities"].values():
        layer["bias"] = jnp.linspace(-2, 1, len(layer["bias"]))
    parts = jax.jit(model.loss)(params, {}, rows, ctx, RNG).parts
    params = as_float64(params)

    def score(u, i):
        user, bias = params["users"]["embedding"][u], params["item_bias"][i]
        total = bias + user[:4] @ params["items"]["embedding"][i]
        for name in MODALITIES:
            if ctx.item_feature_masks[name][i]:
                feature = np.asarray(ctx.item_features[name][i], np.float64)
                feature = feature / np.linalg.norm(feature)
                layer = params["modalities"][name]
                total += user[4:] @ (feature @ layer["kernel"]) + feature @ layer["bias"]
        return total

    ids = (np.asarray(rows[name])[:13] for name in ("user_ids", "item_ids", "negative_item_ids"))
    terms, squares = [], 0.0
    for u, i, j in zip(*ids, strict=True):
        terms.append(np.log1p(np.exp(score(u, j) - score(u, i))))
        squares += (params["users"]["embedding"][u] ** 2).sum()
        squares += sum((params["items"]["embedding"][item] ** 2).sum() for item in (i, j))
    np.testing.assert_allclose(parts["bpr"], np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(parts["l2"], 0.2 * 0.5 * squares / 13, rtol=1e-5)
