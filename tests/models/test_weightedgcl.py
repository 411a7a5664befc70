"""WeightedGCL against its equations in float64 NumPy, given the same noise; and how it counts repeated nodes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.models.weightedgcl import WeightedGCL, WeightedGCLConfig, noise_directions
from jaxrec.nn.excitation import Excitation
from tests.models.reference import as_float64, cosine, layers_of
from tests.models.world import DIM, NUM_ITEMS, NUM_USERS, SMALL, batch, context

SETTINGS = SMALL["weightedgcl"]
RNG = jax.random.key(1)


def started(config):
    """Model and parameters away from their first values, the embeddings of order one."""
    model = WeightedGCL(config, NUM_USERS, NUM_ITEMS)
    params, extra = model.init(jax.random.key(0), context())
    assert extra == {}
    numbers = iter(jax.random.normal(jax.random.key(3), (1000,)))
    return model, jax.tree.map(
        lambda leaf: leaf + 0.3 * np.asarray([next(numbers) for _ in range(leaf.size)]).reshape(leaf.shape), params
    )


def feature_weights(excitation, vector):
    """Squeeze to a number, three affine maps, sigmoid."""
    hidden = np.array([vector.mean()])
    for name in ("first", "second", "third"):
        hidden = hidden @ excitation[name]["kernel"] + excitation[name]["bias"]
    return 1 / (1 + np.exp(-hidden))


def views_of(node, layers, layer_weights, config, excitation):
    """The two views of a node: noise at the last layer, layers combined, features weighted."""
    views = []
    for direction in np.asarray(noise_directions(RNG, jnp.asarray([node]), config.dim), np.float64)[:, 0]:
        rows = [layer[node] for layer in layers]
        rows[-1] = rows[-1] + np.sign(rows[-1]) * direction * config.noise
        combined = sum(weight * row for weight, row in zip(layer_weights, rows, strict=True))
        views.append(combined * feature_weights(excitation, combined))
    return views


def expected_parts(params, rows, config, layer_weights):
    """The loss part by part, over sets of nodes and loops."""
    params = as_float64(params)
    layers = layers_of(params["nodes"]["embedding"], config.num_layers)
    combined = sum(weight * layer for weight, layer in zip(layer_weights, layers, strict=True))
    real = np.asarray(rows["mask"])
    ids = [np.asarray(rows["user_ids"])[real]]
    ids += [np.asarray(rows[key])[real] + NUM_USERS for key in ("item_ids", "negative_item_ids")]
    users, positives, negatives = (combined[nodes] for nodes in ids)
    contrast = 0.0
    for nodes in (set(ids[0]), set(ids[1])):
        one, two = {}, {}
        for node in nodes:
            one[node], two[node] = views_of(node, layers, layer_weights, config, params["excitation"])
        for node in nodes:
            terms = {other: np.exp(cosine(one[node], two[other]) / config.temperature) for other in nodes}
            contrast -= np.log(terms[node] / sum(terms.values()))
    return {
        "bpr": np.mean(np.log1p(np.exp((users * negatives).sum(1) - (users * positives).sum(1)))),
        "l2": config.regularization * 0.5 * sum((layers[0][nodes] ** 2).sum() for nodes in ids) / real.sum(),
        "contrast": config.contrast_weight * contrast,
    }


@pytest.mark.parametrize(
    ("combine", "layer_weights"), [("mean_no_ego", [0, 1 / 3, 1 / 3, 1 / 3]), ("mean", [0.25] * 4)]
)
def test_loss_equals_the_equations_part_by_part(combine, layer_weights):
    config = dataclasses.replace(SETTINGS, combine=combine, regularization=0.1, temperature=0.3)
    model, params = started(config)
    rows = batch()
    users = np.asarray(rows["user_ids"])[:13]
    assert len(set(users)) < len(users)  # a user stands in the batch twice
    output = jax.jit(model.loss)(params, {}, rows, context(), RNG)
    expected = expected_parts(params, rows, config, layer_weights)
    assert set(output.parts) == set(expected)
    for name, part in expected.items():
        np.testing.assert_allclose(output.parts[name], part, rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(output.total, sum(expected.values()), rtol=2e-5)


def test_gradient_is_that_of_finite_differences():
    model, params = started(SETTINGS)
    rows = batch()
    gradient = jax.jit(jax.grad(lambda p: model.loss(p, {}, rows, context(), RNG).total))(params)
    step, params = 1e-5, as_float64(params)
    slots = [("nodes", "embedding", (0, 1)), ("nodes", "embedding", (NUM_USERS + 2, 3))]
    for layer, place in (("first", (0, 0)), ("third", (1, 2))):
        slots.append(("excitation", layer, place))
    for branch, name, place in slots:

        def total(value, branch=branch, name=name, place=place):
            moved = jax.tree.map(np.copy, params)
            leaf = moved[branch][name] if branch == "nodes" else moved[branch][name]["kernel"]
            leaf[place] += value
            return sum(expected_parts(moved, rows, SETTINGS, [0, 1 / 3, 1 / 3, 1 / 3]).values())

        leaf = gradient[branch][name] if branch == "nodes" else gradient[branch][name]["kernel"]
        expected = (total(step) - total(-step)) / (2 * step)
        assert abs(expected) > 1e-5
        np.testing.assert_allclose(leaf[place], expected, rtol=1e-3, err_msg=f"{branch} {name} {place}")


def test_a_repeated_node_counts_once():
    """The contrast of a batch is that of its distinct users and items, whatever pairs of them stand in it."""
    model, params = started(SETTINGS)
    compiled = jax.jit(model.loss)

    def contrast(users, items):
        size = len(users)
        rows = {
            "user_ids": jnp.asarray(users, jnp.int32),
            "item_ids": jnp.asarray(items, jnp.int32),
            "negative_item_ids": jnp.zeros(size, jnp.int32),
            "mask": jnp.ones(size, bool),
        }
        return compiled(params, {}, rows, context(), RNG).parts["contrast"]

    once = contrast([3, 8, 5], [1, 2, 4])
    assert once > 0
    np.testing.assert_allclose(contrast([5, 8, 3, 3, 8, 3], [4, 4, 1, 2, 1, 1]), once, rtol=1e-5)
    assert contrast([3, 8, 6], [1, 2, 4]) != once
    assert contrast([3, 8, 5, 6], [1, 2, 4, 4]) > once  # a sum: one node more has a term more


def test_noise_is_of_unit_length_and_belongs_to_the_node():
    nodes = jnp.array([[4, 7, 4], [0, 7, 9]])
    noise = noise_directions(RNG, nodes, DIM)
    assert noise.shape == (2, 2, 3, DIM)
    np.testing.assert_allclose(jnp.linalg.norm(noise, axis=-1), 1.0, rtol=1e-6)
    assert (noise >= 0).all()
    np.testing.assert_array_equal(noise[:, 0, 0], noise[:, 0, 2])
    np.testing.assert_array_equal(noise[:, 0, 1], noise[:, 1, 1])
    np.testing.assert_array_equal(noise[:, 1, 2], noise_directions(RNG, jnp.array([9]), DIM)[:, 0])
    different = [
        noise[0, 0, 0],
        noise[1, 0, 0],
        noise[0, 0, 1],
        noise_directions(jax.random.key(2), nodes, DIM)[0, 0, 0],
    ]
    assert len({tuple(np.asarray(direction)) for direction in different}) == 4


def test_noise_follows_the_step_and_leaves_ranking_alone():
    model, params = started(SETTINGS)
    compiled = jax.jit(model.loss)

    def parts(seed):
        return compiled(params, {}, batch(), context(), jax.random.key(seed)).parts

    assert parts(1) == parts(1)
    assert parts(1)["contrast"] != parts(2)["contrast"]
    assert parts(1)["bpr"] == parts(2)["bpr"]
    base = LightGCNConfig(dim=DIM, num_layers=3, combine="mean_no_ego")
    plain = LightGCN(base, NUM_USERS, NUM_ITEMS)
    jax.tree.map(np.testing.assert_array_equal, model.encode(params, context()), plain.encode(params, context()))


def test_without_its_contrast_it_is_lightgcn():
    model, params = started(dataclasses.replace(SETTINGS, contrast_weight=0.0))
    base = LightGCNConfig(dim=DIM, num_layers=3, combine="mean_no_ego")
    plain = LightGCN(base, NUM_USERS, NUM_ITEMS)
    expected = plain.loss(params, {}, batch(), context(), RNG)
    actual = model.loss(params, {}, batch(), context(), RNG)
    assert actual.parts == expected.parts


@pytest.mark.parametrize(("dim", "widths"), [(64, (4, 16, 64)), (32, (2, 8, 32)), (3, (1, 1, 3))])
def test_excitation_has_the_papers_widths_and_reads_the_mean_alone(dim, widths):
    vectors = jax.random.normal(RNG, (5, dim))
    network = Excitation()
    params = jax.jit(network.init)(jax.random.key(0), vectors)
    kernels = [params["params"][name]["kernel"] for name in ("first", "second", "third")]
    assert [kernel.shape for kernel in kernels] == list(zip((1, *widths[:2]), widths, strict=True))
    weights = network.apply(params, vectors)
    assert weights.shape == vectors.shape
    assert ((weights > 0) & (weights < 1)).all()
    np.testing.assert_allclose(weights, network.apply(params, vectors[:, ::-1]), rtol=1e-5)
    squeezed = np.asarray(vectors, np.float64).mean(1)[:, None] @ kernels[0] @ kernels[1] @ kernels[2]
    np.testing.assert_allclose(weights, 1 / (1 + np.exp(-squeezed)), rtol=1e-5)


def test_first_embeddings_are_xavier_uniform_over_users_and_items_apart():
    model = WeightedGCL(WeightedGCLConfig(dim=16), 2000, 100)
    table = np.asarray(model.init(jax.random.key(0), context())[0]["nodes"]["embedding"])
    for rows in (table[:2000], table[2000:]):
        bound = np.sqrt(6 / (len(rows) + 16))
        assert 0.98 * bound < np.abs(rows).max() <= bound
        np.testing.assert_allclose(rows.std(), bound / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dim", 0),
        ("num_layers", 0),
        ("regularization", -1.0),
        ("contrast_weight", -0.5),
        ("temperature", 0.0),
        ("noise", -0.1),
    ],
)
def test_impossible_settings_are_refused_by_field(field, value):
    config = dataclasses.replace(WeightedGCLConfig(), **{field: value})
    with pytest.raises(UserError) as caught:
        config.validate("model.base")
    assert f"model.base.{field}: found {value}, allowed: " in str(caught.value)
