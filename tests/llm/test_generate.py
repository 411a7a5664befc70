"""Generation against the decoder by hand: greedy, drawn, under a mask, in batches, on a mesh."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.llm import constrained, decoding, generate
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import forward, unstack
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.sampling import Choice, choose, nucleus
from jaxrec.llm.sharding import place, place_rows
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder
from tests.models.world import mesh_of

RNG = np.random.default_rng(5)
PROMPTS = [RNG.integers(0, CONFIG["vocab_size"], length).tolist() for length in (3, 9, 1, 20)]
NUM_TOKENS = 8
HELD = tensors()


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return Generator(place(read_params(folder, config), config, None), config, stop_tokens=(), batch_size=4)


def greedy_by_hand(prompt, num_tokens=NUM_TOKENS, allowed=slice(None)):
    ids = list(prompt)
    for _ in range(num_tokens):
        logits = np.full(CONFIG["vocab_size"], -np.inf)
        logits[allowed] = logits_by_hand(ids, HELD)[-1][allowed]
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


def test_greedy_answers_are_those_by_hand(generator):
    answers = generator.generate([Prompt(prompt, NUM_TOKENS) for prompt in PROMPTS])
    assert [answer.tokens for answer in answers] == [greedy_by_hand(prompt) for prompt in PROMPTS]
    assert not any(answer.stopped for answer in answers)


def test_answers_end_at_a_stop_token_or_at_their_own_limit(generator):
    expected = [greedy_by_hand(prompt) for prompt in PROMPTS]
    stop = expected[1][3]
    limits = (2, NUM_TOKENS, 5, 1)
    stopping = dataclasses.replace(generator, stop_tokens=(39, stop))
    answers = stopping.generate([Prompt(*both) for both in zip(PROMPTS, limits, strict=True)])
    for answer, tokens, limit in zip(answers, expected, limits, strict=True):
        tokens = tokens[:limit]
        ended = next((place for place, token in enumerate(tokens) if token in (39, stop)), None)
        assert answer == (tokens[:ended], ended is not None)
    assert answers[1].stopped


def test_a_drawn_answer_depends_on_seed_and_request_and_not_on_the_batch(generator):
    drawn = [
        Prompt(prompt, NUM_TOKENS, temperature=1.5, top_p=0.95, seed=seed, request=request)
        for seed, request, prompt in ((0, 0, PROMPTS[0]), (0, 1, PROMPTS[0]), (1, 0, PROMPTS[0]), (0, 0, PROMPTS[1]))
    ]
    together = generator.generate([*drawn, Prompt(PROMPTS[3], NUM_TOKENS)])
    alone = [generator.generate([prompt])[0] for prompt in drawn]
    assert together[:4] == alone
    assert together[4].tokens == greedy_by_hand(PROMPTS[3])
    assert generator.generate(drawn[::-1]) == alone[::-1]
    assert len({tuple(answer.tokens) for answer in alone}) == 4


class Even:
    """Allows even tokens below 30, and ends after five."""

    def __init__(self):
        self.taken = []

    @property
    def finished(self):
        return len(self.taken) == 5

    def allowed(self):
        return np.arange(30) % 2 == 0

    def take(self, token):
        self.taken.append(token)


class Endless(Even):
    """The same without an end."""

    finished = False


def test_a_mask_is_kept_at_every_step_and_spares_its_neighbours(generator):
    masks = [Even(), Even(), Even()]
    limits = (NUM_TOKENS, 3, NUM_TOKENS)
    prompts = [Prompt(PROMPTS[row], limits[row], mask=masks[row]) for row in range(3)]
    answers = generator.generate([*prompts, Prompt(PROMPTS[3], NUM_TOKENS)])
    for row, length, finished in ((0, 5, True), (1, 3, False), (2, 5, True)):
        assert answers[row] == (greedy_by_hand(PROMPTS[row], length, slice(0, 30, 2)), finished)
        assert masks[row].taken == answers[row].tokens
    assert answers[3].tokens == greedy_by_hand(PROMPTS[3])


def test_a_cache_that_grows_and_rows_that_leave_change_no_answer(generator, monkeypatch):
    seen = []

    def spy(params, config, cache, tokens, *rest):
        seen.append((len(tokens), cache.keys.shape[2]))
        return decoding.step(params, config, cache, tokens, *rest)

    monkeypatch.setattr(generate, "FIRST_SLOTS", 2)
    monkeypatch.setattr(constrained, "step", spy)
    limits = (1, 12, 2, 1, 2)
    prompts = [Prompt(PROMPTS[0], limit, mask=Endless()) for limit in limits]
    answers = dataclasses.replace(generator, batch_size=5).generate(prompts)
    assert [answer.tokens for answer in answers] == [
        greedy_by_hand(PROMPTS[0], limit, slice(0, 30, 2)) for limit in limits
    ]
    # Two slots to begin with, then eight, then 32, beside those of the prompt; of five rows one goes on alone.
    prompt_slots = seen[0][1] - 2
    assert [rows for rows, _ in seen] == [5] + [1] * 10
    assert [slots - prompt_slots for _, slots in seen] == [2] * 2 + [8] * 6 + [32] * 3


def test_lengths_within_a_bucket_are_compiled_once(generator):
    generator.generate([Prompt(PROMPTS[0], 3)])
    sizes = decoding.prefill._cache_size(), decoding.decode._cache_size()
    generator.generate([Prompt(PROMPTS[1], 7, temperature=0.5, top_p=0.5, seed=3)])
    generator.generate([Prompt(PROMPTS[3], 16)])
    assert (decoding.prefill._cache_size(), decoding.decode._cache_size()) == sizes


def test_what_all_prompts_begin_with_is_computed_once(generator, monkeypatch):
    common = PROMPTS[3][:9]
    prompts = [common + own for own in (PROMPTS[0], PROMPTS[1], PROMPTS[2], [1, *PROMPTS[0]], [])]
    computed = []

    def spy(params, config, tokens, *rest):
        computed.append(tokens.shape)
        return decoding.prefill(params, config, tokens, *rest)

    monkeypatch.setattr(generate, "SHARED_STEP", 4)
    monkeypatch.setattr(generate, "prefill", spy)
    monkeypatch.setattr(generate, "PROMPT_SLOTS", (4, 16))
    expected = [greedy_by_hand(prompt) for prompt in prompts]
    answers = generator.generate([Prompt(prompt, NUM_TOKENS) for prompt in prompts])
    assert [answer.tokens for answer in answers] == expected
    assert computed == [(1, 8), (4, 4), (2, 16)]
    masks = [Even(), Even()]
    answers = generator.generate([Prompt(prompts[row], NUM_TOKENS, mask=masks[row]) for row in range(2)])
    assert [answer.tokens for answer in answers] == [greedy_by_hand(prompts[row], 5, slice(0, 30, 2)) for row in (0, 1)]
    # Each prompt keeps a token of its own; a prompt alone shares nothing.
    computed.clear()
    assert generator.generate([Prompt(common[:8], 1), Prompt(common, 1)])[0].tokens == greedy_by_hand(common[:8], 1)
    generator.generate([Prompt(common, 1)])
    assert computed == [(1, 4), (1, 4), (1, 16), (1, 16)]


def test_layers_one_by_one_answer_the_same(generator):
    kernel = generator.params["layers"]["mlp"]["up"]["kernel"]
    adapters = {"layers": {"mlp": {"up": {"a": kernel[:, :, :2], "b": 0.5 * jnp.ones((3, 2, kernel.shape[2]))}}}}
    adapted = dataclasses.replace(generator, adapters=adapters)
    prompts = [Prompt(prompt, NUM_TOKENS) for prompt in PROMPTS]
    answers = adapted.generate(prompts)
    assert dataclasses.replace(adapted, params=unstack(generator.params)).generate(prompts) == answers
    assert answers != generator.generate(prompts)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tokens": []}, "tokens: found none"),
        ({"tokens": [3, 40]}, "tokens: found 40, allowed: 0 to 39"),
        ({"max_tokens": 0}, "max_tokens: found 0"),
        ({"max_tokens": 62}, "found 65, allowed: up to 64 together"),
        ({"temperature": -1.0}, "temperature: found -1.0"),
        ({"temperature": float("nan")}, "temperature: found nan"),
        ({"top_p": 0.0}, "top_p: found 0.0"),
    ],
)
def test_prompts_that_cannot_be_answered(generator, changes, named):
    bad = Prompt(**({"tokens": PROMPTS[0], "max_tokens": 4} | changes))
    with pytest.raises(UserError, match=r"^prompt 1: ") as caught:
        generator.generate([Prompt(PROMPTS[0], 4), bad])
    assert named in str(caught.value)


# How tokens are drawn


def test_nucleus_by_hand():
    logits = np.random.default_rng(0).normal(size=(6, 30)).astype(np.float32) * 2
    top_p = np.array([1e-6, 0.3, 0.5, 0.9, 0.999, 1.0], np.float32)
    found = np.isfinite(nucleus(jnp.asarray(logits), jnp.asarray(top_p)))
    for row, share in enumerate(top_p):
        weights = np.exp(logits[row].astype(np.float64))
        kept, total = set(), 0.0
        for token in np.argsort(-logits[row]):
            if kept and total >= share * weights.sum():
                break
            kept.add(int(token))
            total += weights[token]
        assert set(np.flatnonzero(found[row])) == kept


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.7)])
def test_draws_follow_the_probabilities(temperature, top_p):
    logits = np.log(np.array([0.4, 0.25, 0.2, 0.1, 0.05], np.float32))
    count = 20_000
    whole = np.ones(count, np.float32)
    choice = Choice(temperature * whole, top_p * whole, np.zeros(count, np.uint32), np.arange(count, dtype=np.uint32))
    drawn = jax.jit(choose)(jnp.tile(logits, (count, 1)), jax.tree.map(jnp.asarray, choice), jnp.int32(7))
    expected = np.exp(logits / temperature)
    if top_p < 1:
        expected[3:] = 0  # 0.4 + 0.25 is below 0.7, with 0.2 it is above.
    expected /= expected.sum()
    found = np.bincount(drawn, minlength=5) / count
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / np.sqrt(count))


# On a mesh


@pytest.mark.parametrize(("data", "model"), [(4, 2), (8, 1), (1, 2)])
def test_a_mesh_gives_what_one_device_gives(generator, data, model):
    config, mesh = generator.config, mesh_of(data, model)
    params = place(jax.device_get(generator.params), config, mesh)
    kernel = params["layers"]["mlp"]["up"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape)[2] == kernel.shape[2] // model
    tokens = RNG.integers(0, CONFIG["vocab_size"], (8, 12)).astype(np.int32)
    positions = np.tile(np.arange(12, dtype=np.int32), (8, 1))
    run = jax.jit(forward, static_argnums=1)
    expected = run(generator.params, config, tokens, positions)[0]
    found = run(params, config, *place_rows((tokens, positions), mesh))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_generation_on_a_mesh(generator):
    mesh = mesh_of(2, 2)
    params = unstack(place(jax.device_get(generator.params), generator.config, mesh))
    shared = dataclasses.replace(generator, params=params, mesh=mesh)
    answers = shared.generate([Prompt(prompt, NUM_TOKENS) for prompt in PROMPTS[:3]])
    assert [answer.tokens for answer in answers] == [greedy_by_hand(prompt) for prompt in PROMPTS[:3]]


def test_heads_that_do_not_divide_are_refused(generator):
    with pytest.raises(UserError, match=r"^devices.model: found 4; a divisor of .* num_kv_heads, 2, is needed$"):
        place(generator.params, generator.config, mesh_of(2, 4))
