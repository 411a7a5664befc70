"""Losses over drawn items and exact negatives, each against NumPy in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxrec.errors import UserError
from jaxrec.nn.item_losses import ItemLossConfig, gbce_power, item_loss
from jaxrec.nn.item_softmax import item_softmax_loss
from jaxrec.nn.sampled_softmax import draw_items, sampled_softmax_loss

ROWS, ITEMS, DIM, NEGATIVES = 9, 11, 4, 3


def case(seed=0, rows=ROWS, items=ITEMS):
    rng = np.random.default_rng(seed)
    arrays = {
        "hidden": rng.normal(size=(rows, DIM)),
        "table": rng.normal(size=(items, DIM)),
        "bias": rng.normal(size=items),
    }
    arrays = {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}
    targets = jnp.asarray(rng.integers(0, items, rows), jnp.int32)
    negatives = (targets[:, None] + jnp.asarray(rng.integers(1, max(items, 2), (rows, NEGATIVES)), jnp.int32)) % items
    return arrays | {"targets": targets, "mask": jnp.arange(rows) % 4 != 1, "negatives": negatives}


def log_sigmoid(value):
    return -np.log1p(np.exp(-value))


def expected(name, given, t=0.75, temperature=1.0):
    """Row by row, as the papers write it."""
    hidden, table, bias = (np.asarray(given[key], np.float64) for key in ("hidden", "table", "bias"))
    losses = []
    for row in np.flatnonzero(given["mask"]):
        scores = (table @ hidden[row] + bias) / temperature
        own, others = scores[given["targets"][row]], scores[np.asarray(given["negatives"][row])]
        if name == "bpr":
            losses.append(-np.mean(log_sigmoid(own - others)))
            continue
        beta = 1.0
        if name == "gbce":
            alpha = NEGATIVES / (ITEMS - 1)
            beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
        losses.append(-(beta * log_sigmoid(own) + np.sum(log_sigmoid(-others))) / (NEGATIVES + 1))
    return np.mean(losses)


def loss(config, given, **changes):
    return item_loss(config, **(given | changes))


@pytest.mark.parametrize("name", ["bce", "bpr", "gbce"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_exact_negatives_as_written_in_numpy(name, temperature):
    config = ItemLossConfig(name, num_negatives=NEGATIVES, temperature=temperature)
    assert config.needs_negatives
    given = case()
    np.testing.assert_allclose(loss(config, given), expected(name, given, temperature=temperature), rtol=1e-5)


def test_gbce_lies_between_bce_and_full_calibration():
    given = case()
    bce = loss(ItemLossConfig("bce", num_negatives=NEGATIVES), given)
    np.testing.assert_allclose(loss(ItemLossConfig("gbce", num_negatives=NEGATIVES, gbce_t=0.0), given), bce, rtol=1e-6)
    assert gbce_power(3, 11, 1.0) == pytest.approx(0.3)
    assert gbce_power(10, 11, 1.0) == 1.0
    assert gbce_power(1, 1, 1.0) == 1.0


def test_a_calibrated_gbce_learns_the_probabilities_of_the_data():
    """At t = 1 the best score of an item is the logit of its probability; plain BCE is overconfident."""
    probability, num_items, num_negatives = 0.3, 101, 5
    scores = jnp.linspace(-5.0, 8.0, 2601)
    share = num_negatives / (num_items - 1)
    found = {}
    for t in (0.0, 1.0):
        beta = gbce_power(num_negatives, num_items, t)
        # An item is the target with its probability, and a negative of the other rows at the rate of the draws.
        losses = probability * beta * jax.nn.softplus(-scores) + (1 - probability) * share * jax.nn.softplus(scores)
        found[t] = float(jax.nn.sigmoid(scores[losses.argmin()]))
    assert found[1.0] == pytest.approx(probability, abs=2e-3)
    assert found[0.0] > 0.8


def test_softmax_by_name_is_the_softmax_over_all_items():
    given = case()
    config = ItemLossConfig(temperature=2.0, chunk=4)
    assert not config.needs_negatives
    actual = loss(config, given, negatives=None)
    direct = item_softmax_loss(given["hidden"] / 2, given["table"], given["targets"], given["mask"], given["bias"] / 2)
    np.testing.assert_allclose(actual, direct, rtol=1e-6)


@pytest.mark.parametrize("draws", ["uniform", "log_uniform"])
def test_draws_have_the_probabilities_that_they_report(draws):
    counts = jnp.array([5, 0, 9, 9, 1], jnp.int32) if draws == "log_uniform" else None
    items, log_probabilities = draw_items(jax.random.key(0), 200_000, 5, counts)
    by_rank = [np.log((rank + 2) / (rank + 1)) / np.log(6) for rank in range(5)]
    order = [2, 3, 0, 4, 1]
    probabilities = np.full(5, 0.2) if counts is None else np.array([by_rank[order.index(item)] for item in range(5)])
    np.testing.assert_allclose(np.exp(log_probabilities), probabilities[np.asarray(items)], rtol=1e-5)
    np.testing.assert_allclose(np.bincount(items, minlength=5) / len(items), probabilities, atol=4e-3)


def sampled(given, key, num_draws, counts):
    config = ItemLossConfig(
        "sampled_softmax", num_negatives=num_draws, draws="log_uniform" if counts is not None else "uniform"
    )
    return loss(config, given, negatives=None, rng=key, item_counts=counts)


@pytest.mark.parametrize("popular", [False, True])
def test_sampled_softmax_as_written_in_numpy(popular):
    given, key = case(), jax.random.key(3)
    counts = jnp.arange(ITEMS) if popular else None
    drawn, log_probabilities = (np.asarray(part, np.float64) for part in draw_items(key, 7, ITEMS, counts))
    hidden, table, bias = (np.asarray(given[name], np.float64) for name in ("hidden", "table", "bias"))
    losses = []
    for row in np.flatnonzero(given["mask"]):
        scores, target = table @ hidden[row] + bias, int(given["targets"][row])
        total = np.exp(scores[target])
        for item, log_probability in zip(drawn.astype(int), log_probabilities, strict=True):
            total += 0.0 if item == target else np.exp(scores[item]) / (7 * np.exp(log_probability))
        losses.append(np.log(total) - scores[target])
    np.testing.assert_allclose(sampled(given, key, 7, counts), np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize("popular", [False, True])
def test_with_more_draws_the_gradient_becomes_that_of_all_items(popular):
    given = case(seed=1, rows=6, items=40)
    counts = jnp.arange(40)[::-1] if popular else None

    def gradient(function):
        return jax.grad(lambda hidden, table: function(given | {"hidden": hidden, "table": table}), (0, 1))(
            given["hidden"], given["table"]
        )

    full = gradient(lambda changed: loss(ItemLossConfig(), changed))
    errors = []
    for num_draws in (16, 128, 1024):
        of_keys = jax.vmap(lambda key, n=num_draws: gradient(lambda changed: sampled(changed, key, n, counts)))
        found = jax.jit(of_keys)(jax.random.split(jax.random.key(0), 8))
        differences = jax.tree.map(lambda a, b: jnp.sum((a - b[None]) ** 2), found, full)
        errors.append(float(sum(differences) / sum(8 * jnp.sum(leaf**2) for leaf in full)))
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[2] < 2e-2


def test_the_target_among_the_draws_is_no_negative():
    given = case(items=1, rows=4) | {"targets": jnp.zeros(4, jnp.int32), "negatives": None}
    for counts in (None, jnp.array([3])):
        assert sampled(given, jax.random.key(0), 5, counts) == 0.0


@pytest.mark.parametrize("name", ["softmax", "sampled_softmax", "bce", "bpr", "gbce"])
def test_masked_rows_count_for_nothing(name):
    config = ItemLossConfig(name, num_negatives=NEGATIVES, draws="uniform")
    given = case() | {"rng": jax.random.key(0)}
    masked = ~given["mask"]
    spoilt = given | {
        "hidden": jnp.where(masked[:, None], jnp.nan, given["hidden"]),
        "targets": jnp.where(masked, -7, given["targets"]),
        "negatives": jnp.where(masked[:, None], 10**6, given["negatives"]),
    }

    def value_and_gradient(arrays):
        return jax.value_and_grad(lambda hidden: loss(config, arrays, hidden=hidden))(arrays["hidden"])

    np.testing.assert_array_equal(value_and_gradient(spoilt)[0], value_and_gradient(given)[0])
    np.testing.assert_array_equal(value_and_gradient(spoilt)[1], value_and_gradient(given)[1])
    value, gradient = value_and_gradient(given | {"mask": jnp.zeros(ROWS, bool)})
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("name", ["sampled_softmax", "gbce"])
def test_one_and_eight_devices_are_equal(name):
    mesh = jax.make_mesh((8, 1), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    config = ItemLossConfig(name, num_negatives=NEGATIVES, draws="uniform")
    given = case(items=16) | {"rng": jax.random.key(0)}
    found = {}
    for devices in (None, mesh):
        function = jax.value_and_grad(lambda table, mesh=devices: loss(config, given, table=table, mesh=mesh))
        found[devices] = jax.jit(function)(given["table"])
    for left, right in zip(jax.tree.leaves(found[mesh]), jax.tree.leaves(found[None]), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


def test_settings_that_make_no_sense_are_refused():
    for field, value in (("num_negatives", 0), ("temperature", 0.0), ("gbce_t", 1.5), ("chunk", 0)):
        with pytest.raises(UserError, match=rf"^model.loss.{field}: found {value}, allowed: "):
            dataclasses.replace(ItemLossConfig(), **{field: value}).validate("model.loss")
    ItemLossConfig().validate()


def test_what_a_named_loss_reads_must_be_there():
    given = case()
    with pytest.raises(ValueError, match=r"gbce reads negatives \(9, 2\), found \(9, 3\)"):
        loss(ItemLossConfig("gbce", num_negatives=2), given)
    with pytest.raises(ValueError, match="sampled_softmax"):
        loss(ItemLossConfig("sampled_softmax"), given, rng=jax.random.key(0))


def test_sampled_scores_stay_finite_far_out():
    given = case()
    arguments = (1e4 * given["hidden"], given["table"], given["targets"], given["mask"], jax.random.key(0))
    value, gradient = jax.value_and_grad(lambda hidden: sampled_softmax_loss(hidden, *arguments[1:], num_draws=4))(
        arguments[0]
    )
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
