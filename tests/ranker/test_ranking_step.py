"""The step that ranks: lists of the pools alone, scored as the decoder by hand scores them, and what it tells."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, write_pools
from jaxrec.llm.decoder import forward
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, RankingConfig, TuningConfig
from jaxrec.ranker.inputs import read_inputs
from jaxrec.ranker.prompt_tokens import PromptTokens, prompt_words
from jaxrec.ranker.ranking_step import STEP
from jaxrec.ranker.tuned import read_tuned, tiny_decoder, write_tuned
from jaxrec.ranker.users import divide, halves
from tests.precompute.fake_job import FakeJob
from tests.precompute.shop import USERS, shop

DATA = shop()
COUNT = 6
PROMPT = PromptConfig(sentiment=False, max_tokens=220)
TUNING = TuningConfig(share=0.5, hidden_dim=16, num_layers=1, num_heads=2)


def pools():
    rng = np.random.default_rng(2)
    items = np.stack([rng.permutation(12)[:COUNT] for _ in range(USERS)]).astype(np.int32)
    items[3, 4:] = -1
    targets = np.full(USERS, -1, np.int32)
    targets[DATA.test.user_ids] = DATA.test.item_ids
    put_in = np.zeros(USERS, bool)
    evaluation = np.isin(np.arange(USERS), halves(DATA)[1])
    users = np.arange(USERS, dtype=np.int32)
    return Pools(users, targets, items, np.zeros(items.shape, np.float32), put_in, put_in, evaluation)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    (folder / "candidates").mkdir()
    write_pools(folder / "candidates", pools(), DATA)
    texts = read_inputs(job({"candidates": folder / "candidates"})).texts
    start = tiny_decoder(TUNING, prompt_words(PROMPT, texts), texts.new_tokens, PROMPT.max_tokens)
    (folder / "tuning").mkdir()
    write_tuned(folder / "tuning", start, start.trained)
    return {name: folder / name for name in ("candidates", "tuning")}


def job(inputs, prompt=PROMPT, **ranking):
    return FakeJob(
        DATA,
        inputs=inputs,
        data=DataConfig(),
        candidates=CandidatesConfig(count=COUNT),
        prompt=prompt,
        tuning=TUNING,
        ranking=RankingConfig(batch_size=4, **ranking),
    )


def run(made, folder):
    folder.mkdir()
    found = STEP.run(made, folder)
    with np.load(folder / "ranking.npz", allow_pickle=False) as saved:
        return found, dict(saved)


def test_the_lists_are_the_pools_in_the_decoders_order(inputs, tmp_path):
    made = job(inputs)
    found, saved = run(made, tmp_path / "scored")
    division = divide(DATA, TUNING, RankingConfig())
    users = DATA.users.encode(saved["user_ids"].tolist())
    assert users.tolist() == sorted([*division.validation, *division.evaluation])
    assert saved["part"].tolist() == ["valid" if user in division.validation else "test" for user in users]
    given = pools().item_ids[users]
    for row, pool in enumerate(given):
        named = [raw for raw in saved["item_ids"][row] if raw]
        assert sorted(named) == sorted(DATA.items.raw[pool[pool >= 0]])
        assert saved["num_ranked"][row] == len(named)
        assert (np.diff(saved["scores"][row][: len(named)]) <= 0).all()
    expected = scores_by_hand(made, users[:1])
    best = np.argsort(-expected, kind="stable")
    np.testing.assert_allclose(saved["scores"][0], expected[best], atol=1e-4)
    assert saved["item_ids"][0].tolist() == DATA.items.raw[given[0][best]].tolist()
    assert found.rows == {"user": {"rows": len(users), "present": len(users)}}
    assert found.extra["counts"]["candidates"] == found.extra["counts"]["placed_by_model"] == (given >= 0).sum()
    assert found.extra["users"] == {"valid": len(division.validation), "test": len(division.evaluation)}
    times = json.loads((tmp_path / "scored" / "times.json").read_text())
    assert times["users"] == len(users)
    assert times["seconds"] > 0
    assert any("users a second" in line for line in made.lines)


def scores_by_hand(made, users):
    """[C] of the first of the users: each item's tokens and a comma or the end behind them, one by one."""
    given, tuned = read_inputs(made), read_tuned(made.inputs["tuning"], None)
    tokens = PromptTokens(tuned.tokenizer, given.texts, PROMPT)
    prompt = list(tokens.encode(given.examples(users)[0]).prompt)
    width, found = len(prompt) + 8, []
    compiled = jax.jit(forward, static_argnums=1)
    for item in given.pools_of(users)[0].tolist():
        said = [*prompt, *tokens.item(item)]
        # What stands behind an item is read by none of its tokens.
        ids = jnp.asarray([said + [0] * (width - len(said))])
        logits, _ = compiled(tuned.params, tuned.config, ids, jnp.arange(width)[None, :])
        likely = np.asarray(jax.nn.log_softmax(logits[0]), np.float64)
        total = sum(likely[place - 1, said[place]] for place in range(len(prompt), len(said)))
        behind = likely[len(said) - 1]
        found.append(total + np.logaddexp(behind[tokens.separator[0]], behind[tokens.end]))
    return np.array(found)


def test_a_written_list_holds_the_pool_and_behind_ten_items_the_retrievers_order(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxrec.ranker.ordering.ASKED", 3)
    found, saved = run(job(inputs, method="generate", user_limit=2), tmp_path / "refilled")
    assert (saved["part"] == "test").sum() == 2
    assert set(saved["num_ranked"]) == {3}
    assert np.isnan(saved["scores"]).all()
    assert found.extra["counts"]["answer_tokens"] >= 3 * len(saved["part"])
    for row, user in enumerate(DATA.users.encode(saved["user_ids"].tolist())):
        pool = DATA.items.raw[pools().item_ids[user][pools().item_ids[user] >= 0]].tolist()
        named = [raw for raw in saved["item_ids"][row].tolist() if raw]
        assert sorted(named) == sorted(pool)
        assert named[3:] == [raw for raw in pool if raw not in named[:3]]
    _, short = run(job(inputs, method="generate", refill="none", user_limit=2), tmp_path / "short")
    assert short["item_ids"][:, :3].tolist() == saved["item_ids"][:, :3].tolist()
    assert set(short["item_ids"][:, 3:].ravel()) == {""}


def test_the_plan_counts_prompts_and_asks_nobody(inputs, tmp_path):
    users = np.concatenate([divide(DATA, TUNING, RankingConfig()).validation, halves(DATA)[1]])
    made = job(inputs)
    given, tuned = read_inputs(made), read_tuned(inputs["tuning"], None)
    tokens = PromptTokens(tuned.tokenizer, given.texts, PROMPT)
    count = sum(len(tokens.encode(one).prompt) for one in given.examples(users))
    (note,) = STEP.plan(made).notes
    assert note.startswith(f"ranking: {len(users)} users, prompts of {count:,} tokens")
    assert STEP.plan(job({"candidates": None, "tuning": None})).requests == 0


def test_the_identity_holds_what_decides_the_order_and_nothing_else(inputs):
    first = STEP.identity(job(inputs))
    assert STEP.identity(job(inputs, method="generate")) != first
    assert STEP.identity(job(inputs, prompt=dataclasses.replace(PROMPT, history=3))) != first
    other = job(inputs)
    other.config.ranking = RankingConfig(batch_size=1)
    assert STEP.identity(other) == first


def test_mistakes_are_one_clear_line(inputs, tmp_path):
    with pytest.raises(UserError, match="steps: no output of tuning"):
        STEP.run(job(inputs | {"tuning": None}), tmp_path)
    with pytest.raises(UserError, match=r"steps: no output of sentiment; allowed: --prompt\.no-sentiment"):
        STEP.run(job(inputs, prompt=PromptConfig()), tmp_path)
    wordy = dataclasses.replace(PROMPT, max_tokens=5000, category="very " * 300 + "things")
    with pytest.raises(UserError, match=r"prompt\.max_tokens: found prompts of .* allowed: 1244 together"):
        STEP.run(job(inputs, prompt=wordy), tmp_path)
