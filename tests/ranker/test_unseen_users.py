"""New users of a run of SEALR: the lists that the steps give to users of the same names, histories and sentiments."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.histories import histories
from jaxrec.data.interactions import IdMap
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, write_pools
from jaxrec.models.base import Context
from jaxrec.models.registry import build_model
from jaxrec.models.sealr_config import (
    CandidatesConfig,
    PALRConfig,
    PromptConfig,
    RankingConfig,
    SEALRConfig,
    TuningConfig,
)
from jaxrec.precompute.sentiment.files import write_labels
from jaxrec.precompute.sentiment.labels import labels_from_ratings
from jaxrec.ranker import folders, unseen_users
from jaxrec.ranker.inputs import read_inputs
from jaxrec.ranker.prompt_text import parse, read_template
from jaxrec.ranker.prompt_tokens import prompt_words
from jaxrec.ranker.ranking import Ranked
from jaxrec.ranker.ranking_step import STEP
from jaxrec.ranker.tuned import tiny_decoder, write_tuned
from jaxrec.ranker.unseen_users import rank_unseen
from jaxrec.ranker.users import divide, halves
from jaxrec.serve.recommender import Recommender
from tests.models.world import MAX_LENGTH, SMALL
from tests.precompute.fake_job import FakeJob
from tests.precompute.shop import PLACES, USERS, shop

COUNT = 6
TUNING = TuningConfig(share=0.5, hidden_dim=16, num_layers=1, num_heads=2)
SEALR = SEALRConfig(
    candidates=CandidatesConfig(count=COUNT), prompt=PromptConfig(max_tokens=240, history=3), tuning=TUNING,
    ranking=RankingConfig(batch_size=4),
)  # fmt: skip
PALR = PALRConfig(
    candidates=SEALR.candidates, tuning=TUNING, ranking=RankingConfig(method="generate", refill="none"),
    prompt=PromptConfig(template="palr", items="names", sentiment=False, history=3, summary="written"),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _programs_that_run_for_moments():
    """No time is spent on making fast what runs for moments."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def named_as_new():
    """The shop with users who are called as new users are: their candidates are shown in the same order."""
    data = shop()
    users = IdMap(np.asarray([f"new user {user + 1}" for user in range(USERS)]))
    return dataclasses.replace(
        data, **{part: dataclasses.replace(getattr(data, part), users=users) for part in ("train", "valid", "test")}
    )


DATA = named_as_new()


@pytest.fixture(scope="module")
def retriever():
    """A sequence model with random weights, as a loaded run."""
    model = build_model(SMALL["sasrec"], USERS, DATA.num_items)
    tokens = tuple(jnp.asarray(rows) for rows in histories(DATA, "valid", MAX_LENGTH))
    ctx = Context(histories=tokens, item_counts=jnp.ones(DATA.num_items, jnp.int32))
    params = jax.jit(model.init)(jax.random.key(3), ctx)[0]
    return SimpleNamespace(dataset=DATA, model=model, params=params, ctx=ctx, result={"model": "sasrec"})


@pytest.fixture(scope="module")
def made(tmp_path_factory, retriever):
    """By model, the folder of its ranking, beside all that it was made of and the retriever's run."""
    root = tmp_path_factory.mktemp("made")
    (root / "retriever-run").mkdir()
    told = {"model": "sasrec", "config_hash": "0123456789ab", "best_step": 3}
    write_json(root / "retriever-run" / "result.json", told)
    known = Recommender(
        unseen_users.of_new_users(DATA, pairs(), USERS), retriever.model, retriever.params, retriever.ctx
    )
    lists = known.recommend(DATA.users.raw.tolist(), COUNT)
    items = np.stack([DATA.items.encode([raw for raw, _ in found]) for found in lists]).astype(np.int32)
    users, none = np.arange(USERS, dtype=np.int32), np.zeros(USERS, bool)
    evaluation = np.isin(users, halves(DATA)[1])
    pools = Pools(users, DATA.test.item_ids, items, np.zeros(items.shape, np.float32), none, none, evaluation)
    for name in ("candidates", "sentiment"):
        (root / name).mkdir()
        write_json(root / name / "manifest.json", {"dataset_sha256": DATA.sha256, "retriever": told})
    write_pools(root / "candidates", pools, DATA)
    write_labels(root / "sentiment", labels_from_ratings(DATA, 1, 5))
    return {model.name: ranking_of(root, model) for model in (SEALR, PALR)}


def ranking_of(root, model):
    inputs = {name: root / name for name in ("candidates", "sentiment")}
    job = FakeJob(
        DATA, inputs=inputs, data=DataConfig(), candidates=model.candidates, tuning=TUNING, ranking=model.ranking,
        prompt=dataclasses.replace(model.prompt, summary="keywords"),
    )  # fmt: skip
    texts = read_inputs(job).texts
    start = tiny_decoder(TUNING, prompt_words(model.prompt, texts), texts.new_tokens, model.prompt.max_tokens)
    tuning, ranking = root / f"tuning-{model.name}", root / f"ranking-{model.name}"
    for folder in (tuning, ranking):
        folder.mkdir()
    write_tuned(tuning, start, start.trained)
    job.inputs |= {"tuning": tuning}
    if model is SEALR:
        STEP.run(job, ranking)
    else:
        (ranking / "ranking.npz").touch()
    needs = {"candidates": "candidates", "sentiment": "sentiment", "tuning": tuning.name}
    write_json(ranking / "manifest.json", {"needs": needs, "dataset_sha256": DATA.sha256})
    return ranking


def write_json(path, value):
    path.write_text(json.dumps(value))


def pairs():
    return list(zip(DATA.train.user_ids.tolist(), DATA.train.item_ids.tolist(), strict=True))


def given(stars=True):
    """What each user of the data did in training, as a new user tells it."""
    train = DATA.train
    told = [
        f"{DATA.items.raw[item]}:{rating:g}" if stars else str(DATA.items.raw[item])
        for item, rating in zip(train.item_ids, train.ratings, strict=True)
    ]
    return [{"": [told[row] for row in np.flatnonzero(train.user_ids == user)]} for user in range(USERS)]


@pytest.fixture
def call(made, retriever, monkeypatch):
    """rank_unseen of a run of one of the two models, and what it says."""
    lines, loaded = [], []
    monkeypatch.setattr(unseen_users, "load_run", lambda folder, _: loaded.append(folder) or retriever)

    def run(model, told, k=COUNT, **changes):
        model = dataclasses.replace(model, rankings=str(made[model.name]))
        experiment = SimpleNamespace(model=model, data=DataConfig())
        monkeypatch.setattr(unseen_users, "recorded_run", lambda _: (experiment, {}))
        return rank_unseen(made[model.name].parent / "runs" / "run", DATA, told, k, lines.append, **changes)

    run.lines, run.loaded = lines, loaded
    return run


def test_new_users_get_what_the_steps_give_to_users_of_the_data(call, made):
    listed = call(SEALR, given())
    assert [one.user for one in listed] == DATA.users.raw.tolist()
    assert call.loaded == [made[SEALR.name].parent / "retriever-run"]  # once, found beside
    with np.load(made[SEALR.name] / "ranking.npz") as saved:
        expected = dict(zip(saved["user_ids"].tolist(), saved["item_ids"].tolist(), strict=True))
    assert len(expected) == len(divide(DATA, TUNING, SEALR.ranking).validation) + USERS // 2
    for one in (one for one in listed if one.user in expected):
        assert [item for item, _ in one.found] == expected[one.user]
        assert [score for _, score in one.found] == list(range(COUNT, 0, -1))
        assert one.told.num_placed == COUNT
        assert sorted(one.told.places.values()) == list(range(1, COUNT + 1))
        user = int(one.user.rpartition(" ")[2]) - 1
        did = DATA.train.item_ids[DATA.train.user_ids == user][-3:]
        said = "Strong Positive" if user < USERS // 2 else "Strong Negative"
        assert one.told.history == tuple((str(DATA.items.raw[item]), said) for item in did)
    assert not any("rating" in line for line in call.lines)


@pytest.fixture
def shown(monkeypatch):
    """What the model is asked; it places the last two candidates, the last first."""
    asked = []

    def placed(found, tuned, prompt, config):
        asked.append(found)
        return [
            Ranked(np.array([COUNT - 1, COUNT - 2]), np.full(len(one.candidates), np.nan), 5) for one in found.requests
        ]

    monkeypatch.setattr(unseen_users, "rank", placed)
    return asked


def test_palr_is_told_names_and_counted_keywords(call, shown):
    (one,) = call(PALR, given(stars=False)[:1])
    prompt = parse(read_template("palr"), shown[0].tokens.tokenizer.decode(shown[0].encoded[0].prompt))
    did = DATA.train.item_ids[DATA.train.user_ids == 0][-3:]
    assert prompt.history == tuple(f"Calm {PLACES[item]}" for item in did)
    assert PLACES[did[0]] in prompt.preference
    places = {place: item for item, place in one.told.places.items()}
    # Without a refill nothing follows what the model has placed.
    assert one.found == [(places[COUNT], COUNT), (places[COUNT - 1], COUNT - 1)]
    assert one.told.num_placed == 2
    assert {said for _, said in one.told.history} == {None}
    assert any("counted keywords stand in" in line for line in call.lines)


def test_what_is_neutral_and_what_is_not_told_is_said(call, shown):
    (one,) = call(SEALR, given(stars=False)[:1], k=3)
    places = {place: item for item, place in one.told.places.items()}
    assert [item for item, _ in one.found] == [places[place] for place in (COUNT, COUNT - 1, 1)]
    assert {said for _, said in one.told.history} == {"Neutral"}
    assert any("no item of --history has a rating, so the model is told neutral" in line for line in call.lines)
    most = len(shown[0].encoded[0].prompt) - 1
    short = dataclasses.replace(SEALR, prompt=dataclasses.replace(SEALR.prompt, max_tokens=most))
    (cut,) = call(short, given(stars=False)[:1])
    assert cut.told.history == one.told.history[1:]
    assert any("new user 1: the 1 oldest items are not told" in line for line in call.lines)


def test_mistakes_are_one_clear_line(call, retriever, monkeypatch, made):
    with pytest.raises(UserError, match=r"found a rating of 7, allowed: 1 to 5, the run's sentiment\.rating_scale"):
        call(SEALR, [{"": ["thing 0:7"]}])
    with pytest.raises(UserError, match=r"found a rating, 5, but the run's language model is told no sentiments"):
        call(PALR, [{"": ["thing 0:5"]}])
    with pytest.raises(UserError, match=r"item 'thing 99' is not among"):
        call(SEALR, [{"": ["thing 99:5"]}])
    with pytest.raises(UserError, match=r"found no item"):
        call(SEALR, [{"": []}])
    with pytest.raises(UserError, match=r"new user 1 has seen every item"):
        call(SEALR, [{"": DATA.items.raw.tolist()}])
    with pytest.raises(UserError, match="nowhere: no such run folder"):
        call(SEALR, given()[:1], retriever=folders.Path("nowhere"))
    blind = SimpleNamespace(**vars(retriever) | {"ctx": dataclasses.replace(retriever.ctx, histories=None)})
    monkeypatch.setattr(unseen_users, "load_run", lambda *_: blind)
    with pytest.raises(
        UserError, match=r"a run of sasrec, as the one that chooses the candidates, which knows users by"
    ):
        call(SEALR, given()[:1])
