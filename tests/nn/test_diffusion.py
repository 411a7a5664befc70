"""The diffusion process against its distributions, and what its objectives are least at."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.nn.diffusion import (
    diffuse,
    diffuse_step,
    literal_error,
    make_schedule,
    noise_error,
    predict_clean,
    reverse_chain,
    reverse_step,
)

STEPS = 15
CLEAN = np.array([2.0, -1.0, 0.5], np.float32)
SCHEDULES = {"linear": {}, "cosine": {"kind": "cosine"}, "literal mean": {"mean": "paper"}}


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES)
def test_one_step_after_the_other_is_the_closed_form(options):
    """Same mean and variance at every step, counted over many chains and told by the schedule."""
    schedule = make_schedule(**{"kind": "linear", "num_steps": STEPS} | options)
    count = 20_000
    state = jnp.broadcast_to(CLEAN, (count, 3))
    for step in range(1, STEPS + 1):
        state = diffuse_step(schedule, state, step, normal(step, count, 3))
        if step in (1, 7, STEPS):
            for rows in (state, diffuse(schedule, jnp.broadcast_to(CLEAN, (count, 3)), step, normal(99, count, 3))):
                error = 5 / np.sqrt(count)
                np.testing.assert_allclose(rows.mean(0), schedule.signal[step - 1] * CLEAN, atol=error)
                np.testing.assert_allclose(rows.var(0), schedule.noise[step - 1] ** 2, atol=2 * error)


def test_default_keeps_the_variance_and_the_literal_mean_does_not():
    default, literal = (make_schedule("linear", STEPS, mean=mean) for mean in ("ddpm", "paper"))
    products = np.cumprod(1 - np.linspace(1e-3, 0.1, STEPS))
    np.testing.assert_allclose(default.signal**2, products, rtol=1e-5)
    np.testing.assert_allclose(default.signal**2 + default.noise**2, 1, rtol=1e-5)
    assert 0.45 < default.signal[-1] ** 2 < 0.48
    np.testing.assert_allclose(literal.signal, products, rtol=1e-5)
    assert np.all(literal.signal[1:] ** 2 + literal.noise[1:] ** 2 < 0.999)


def test_alpha_itself_in_the_papers_range_leaves_nothing_after_one_step():
    schedule = make_schedule("paper", STEPS, 1e-3, 0.1)
    np.testing.assert_allclose(schedule.keep[[0, -1]] ** 2, [0.1, 1e-3], rtol=1e-4)
    assert schedule.signal[0] ** 2 <= 0.1001
    assert schedule.signal[-1] < 1e-9


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_schedules_add_noise_step_by_step(kind):
    schedule = make_schedule(kind, STEPS)
    assert schedule.num_steps == STEPS
    assert all(a > b for a, b in itertools.pairwise(schedule.signal))
    assert all(a < b for a, b in itertools.pairwise(schedule.noise))


@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES)
def test_the_true_noise_gives_the_input_back_exactly(options):
    schedule = make_schedule(**{"kind": "linear", "num_steps": STEPS} | options)
    clean, noise = normal(0, STEPS, 4, 3), normal(1, STEPS, 4, 3)
    steps = jnp.arange(1, STEPS + 1)
    state = diffuse(schedule, clean, steps, noise)
    # What is left of the signal divides the rounding error.
    tolerance = 1e-5 / schedule.signal.min()
    np.testing.assert_allclose(predict_clean(schedule, state, steps, noise), clean, atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"mean": "paper"}])
def test_a_chain_that_is_told_the_noise_ends_at_the_input(options):
    """With the noise told anew at every step from the true input, the error falls at every step, to nothing."""
    schedule = make_schedule("linear", STEPS, **options)
    clean = {"a": normal(0, 5, 3), "b": normal(1, 5, 4, 2)}
    start = {name: diffuse(schedule, rows, STEPS, normal(2, *rows.shape)) for name, rows in clean.items()}

    def oracle(state, step):
        return {
            name: (state[name] - schedule.signal[step - 1] * clean[name]) / schedule.noise[step - 1] for name in clean
        }

    schedule = jax.tree.map(jnp.asarray, schedule)
    end = jax.jit(lambda start: reverse_chain(schedule, start, oracle))(start)
    for name, rows in clean.items():
        np.testing.assert_allclose(end[name], rows, atol=1e-5)
    state, errors = start["a"], []
    for step in range(STEPS, 0, -1):
        errors.append(float(jnp.square(state / schedule.signal[step - 1] - clean["a"]).mean()))
        state = reverse_step(schedule, state, step, oracle({"a": state, "b": start["b"]}, step)["a"])
    assert all(a > b for a, b in itertools.pairwise([*errors, float(jnp.square(state - clean["a"]).mean())]))


def test_a_reverse_step_is_the_mean_of_the_posterior_and_the_printed_divisor_is_not():
    """E[h_{t-1} | h_t, h_0] of the chain (Ho et al., Eq. 7), against Eq. 12 and against Eq. 8 as printed."""
    beta = np.linspace(1e-3, 0.1, STEPS)
    products = np.cumprod(1 - beta)
    before, now, last = products[-2], products[-1], beta[-1]
    clean, noise = normal(0, 20, 3), normal(1, 20, 3)
    default, printed = (make_schedule("linear", STEPS, reverse=reverse) for reverse in ("ddpm", "paper"))
    state = diffuse(default, clean, STEPS, noise)
    mean = (np.sqrt(before) * last * clean + np.sqrt(1 - last) * (1 - before) * state) / (1 - now)
    np.testing.assert_allclose(reverse_step(default, state, STEPS, noise), mean, atol=1e-5)
    assert jnp.abs(reverse_step(printed, state, STEPS, noise) - mean).mean() > 0.1


@pytest.mark.parametrize("with_mean", [False, True])
def test_the_printed_objective_is_least_where_nothing_is_denoised(with_mean):
    """Over predictions s h_t that scale the state, and the true noise among them: the printed error prefers to leave
    the state alone, the error of the noise prefers the truth."""
    schedule = make_schedule("linear", STEPS)
    clean, noise = normal(0, 500, 8), normal(1, 500, 8)
    steps = jax.random.randint(jax.random.key(2), (500,), 1, STEPS + 1)
    state = diffuse(schedule, clean, steps, noise)
    # The prediction that changes nothing: h_0 = h_t, so e = h_t (1 - signal) / noise.
    nothing = state * ((1 - schedule.signal) / schedule.noise)[steps - 1][:, None]
    np.testing.assert_allclose(predict_clean(schedule, state, steps, nothing), state, atol=1e-5)
    literal = {
        name: float(literal_error(schedule, state, steps, predicted, with_mean).mean())
        for name, predicted in {"nothing": nothing, "truth": noise, "half": 0.5 * noise}.items()
    }
    assert literal["nothing"] < 0.02 * literal["half"]
    assert literal["half"] < literal["truth"]
    if not with_mean:
        assert literal["nothing"] < 1e-9
    assert noise_error(noise, noise).max() == 0
    assert noise_error(nothing, noise).mean() > 0.5

    # And descent finds it: the best linear network under the printed error hardly changes its input.
    def printed(weight):
        return literal_error(schedule, state, steps, state * weight[steps - 1][:, None], with_mean).mean()

    weight, slope = jnp.zeros(STEPS), jax.jit(jax.grad(printed))
    for _ in range(500):
        weight -= 2.0 * slope(weight)
    changed = jnp.square(predict_clean(schedule, state, steps, state * weight[steps - 1][:, None]) - state).mean()
    assert changed < 0.005 * jnp.square(state).mean()
