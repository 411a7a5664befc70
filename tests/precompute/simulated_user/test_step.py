"""The step of the simulated user: what is asked, what becomes of answers, and whose answers help."""

import json

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared import load_dataset
from jaxrec.errors import UserError
from jaxrec.precompute.requests import Failure, Reply
from jaxrec.precompute.rules_backend import RulesBackend
from jaxrec.precompute.schema import check_schema
from jaxrec.precompute.simulated_user.agents import said_before, said_by_chance, said_by_nobody, said_by_oracle
from jaxrec.precompute.simulated_user.candidates import popular_candidates, read_candidates
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.precompute.simulated_user.requests import make_requests
from jaxrec.precompute.simulated_user.step import STEP, rerank
from jaxrec.precompute.untrusted_text import CLOSING, OPENING
from tests.data.making import interactions
from tests.precompute.fake_job import FakeJob

RAW = (["ann", "bob", "cy"], [f"i{number}" for number in range(8)])
TITLES = ["Zero", "One, the first", "Two", "", "Four", "Four", "Six", "Seven"]


def world(titles=TITLES):
    """Ann had 0 (5 stars, later) and 1 (2 stars, earlier), Bob 0; Cy has nothing in the training part."""
    train = interactions([(0, 0), (0, 1), (1, 0)], times=[9, 3, 5], ratings=[5, 2, 4.5], raw=RAW)
    valid = interactions([(0, 6), (1, 7)], times=[10, 10], ratings=[1, 1], raw=RAW)
    test = interactions([(0, 7), (2, 2)], times=[11, 11], ratings=[1, 1], raw=RAW)
    return Dataset(
        "tiny", "path", train, valid, test, "0" * 64, {}, item_text=tuple(f"{t}. Text." if t else "" for t in titles)
    )


class Given:
    """Answers out of a function of the request; None fails."""

    name, model, cacheable = "given", "given", False

    def __init__(self, answer):
        self.answer = answer

    def ask(self, requests, on_result):
        for request in requests:
            value = self.answer(request)
            on_result(Failure(request.key, "no") if value is None else Reply(request.key, json.dumps(value)))


def job(tmp_path, backend=None, titles=TITLES, profiles=True, **changes):
    dataset = world(titles)
    path = tmp_path / "topk.npz"
    lists = [["i2", "i3", "i4", "i5", "i6", "i7"], ["i7", "i2", "i5", "i4", "", ""]]
    np.savez(path, user_ids=np.array(["ann", "bob"]), item_ids=np.array(lists), scores=np.zeros((2, 6), np.float32))
    (tmp_path / "users.csv").write_text("user,gender,age,location,occupation\nann,female,25-34,Rome,lawyer\n")
    from jaxrec.precompute.profiles.config import ProfilesConfig

    (tmp_path / "data.csv").write_text("user,item\n")
    return FakeJob(
        dataset,
        backend,
        data=DataConfig(path=str(tmp_path / "data.csv")),
        profiles=ProfilesConfig(demographics=str(tmp_path / "users.csv") if profiles else None),
        simulated_user=SimulatedUserConfig(candidates=str(path), top=3, **changes),
    )


def run(tmp_path, made):
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    result = STEP.run(made, folder)
    with np.load(folder / "topk.npz", allow_pickle=False) as saved:
        arrays = dict(saved)
    lines = [json.loads(line) for line in (folder / "feedback.jsonl").read_text().splitlines()]
    return result, arrays, lines


def test_what_the_model_is_told(tmp_path):
    made = job(tmp_path, Given(lambda request: None), template="rank", things="films", consumed="watched")
    run(tmp_path, made)
    ann, bob = made.asked
    system, user = ann.messages
    assert system.content.startswith("You will now act as an agent to simulate a user on a platform")
    told, _, block = user.content.partition(OPENING)
    called = told.split(",")[0].removeprefix("As ")
    assert f"As {called}, you have watched (in sequence, followed by your rating) the films" in told
    assert "your task is to rank them" in told
    assert f"Put your ranking as {called} into" in told
    data = json.loads(block.removesuffix(CLOSING))
    assert data["profile"] == (
        f"You are going to simulate a female user called {called} (25-34, lives in Rome, works/studies as lawyer). "
        "You are here often, prefer lesser known films, and love some films."
    )
    # In the order of time, from the training part alone: nothing of the held-out 6 and 7 but as candidates.
    assert data["memory"] == ["One, the first (2)", "Zero (5)"]
    assert data["candidates"] == ["Two", "item i3", "Four", "Four (2)", "Six", "Seven"]
    data = json.loads(bob.messages[1].content.partition(OPENING)[2].removesuffix(CLOSING))
    # Nothing is known of Bob: his sentence leaves it out.
    assert data["profile"].startswith("You are going to simulate a user called ")
    assert "(" not in data["profile"]
    assert data["memory"] == ["Zero (4.5)"]
    for request in made.asked:
        check_schema(request.schema)


def test_templates_ask_what_the_paper_asks_and_have_versions_of_their_own(tmp_path):
    asked = {}
    for template, words in [
        ("rank", "your task is to rank them"),
        (
            "accept_each",
            "accept the recommendation results item by item. Please be notified that the recommender might make",
        ),
        ("accept_overall", "your task is to decide whether or not you will accept the recommendation results. Say"),
    ]:
        made = job(tmp_path, Given(lambda request: None), template=template)
        run(tmp_path, made)
        assert words in made.asked[0].messages[1].content
        assert "{" not in made.asked[0].messages[1].content.partition(OPENING)[0]
        asked[template] = made.asked[0]
    assert len({request.prompt_version for request in asked.values()}) == 3
    assert {request.schema_name for request in asked.values()} == {"ranking", "accepted"}


def test_answers_become_lists(tmp_path):
    def answer(request):
        if request.facts["names"][0] == "Two":
            return {"comments": "", "accepted": ["Seven", "Titanic", "Four", "seven"]}
        return None

    result, arrays, lines = run(tmp_path, job(tmp_path, Given(answer)))
    # Ann's accepted ones first, then the recommender's; Bob did not answer: his list stays.
    assert arrays["user_ids"].tolist() == ["ann", "bob"]
    assert arrays["item_ids"].tolist() == [["i7", "i4", "i2"], ["i7", "i2", "i5"]]
    assert (np.diff(arrays["scores"]) < 0).all()
    assert result.rows == {"user": {"rows": 2, "present": 1}}
    assert not result.complete
    counts = result.extra["counts"]
    assert counts == {
        "candidates": 10, "named": 2, "repeated": 1, "missing": 4, "unknown_names": 1, "users_without_answer": 1,
        "users_in_another_order": 1,
    }  # fmt: skip
    assert lines[0]["unknown"] == ["Titanic"]
    assert lines[0]["order"] == [5, 2, 0, 1, 3, 4]
    assert lines[1]["said"] is None


def test_short_lists_stay_short(tmp_path):
    made = job(tmp_path, agent="identity")
    made.config.simulated_user = SimulatedUserConfig(
        agent="identity", candidates=made.config.simulated_user.candidates, top=3
    )
    _, arrays, lines = run(tmp_path, made)
    assert len(lines[1]["candidates"]) == 4
    assert arrays["item_ids"].tolist() == [["i2", "i3", "i4"], ["i7", "i2", "i5"]]


def test_what_was_said_can_be_replayed(tmp_path):
    def answer(request):
        return {"comments": "Upside down.", "accepted": list(request.facts["names"])[::-1]}

    _, first, lines = run(tmp_path, job(tmp_path, Given(answer)))
    kept = tmp_path / "feedback.jsonl"
    kept.write_text("\n".join(json.dumps(line) for line in lines))
    made = job(tmp_path, agent="replay", replies=str(kept))
    result, again, repeated = run(tmp_path, made)
    assert result.complete
    assert [line["comments"] for line in repeated] == ["Upside down."] * 2
    np.testing.assert_array_equal(first["item_ids"], again["item_ids"])
    # A plain text counts too; another list, in another order, is not answered by it.
    text = {"user": "bob", "candidates": ["i7", "i2", "i5", "i4"], "text": "So my ranking as Bob would be Four, Two."}
    other = {"user": "ann", "candidates": ["i3", "i2"], "said": ["item i3"]}
    kept.write_text(json.dumps(text) + "\n" + json.dumps(other) + "\n")
    result, again, _ = run(tmp_path, made)
    assert result.rows["user"] == {"rows": 2, "present": 1}
    assert again["item_ids"].tolist() == [["i2", "i3", "i4"], ["i5", "i2", "i7"]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "list; an object"),
        ('{"user": 3, "candidates": []}', "user and candidates"),
        ('{"user": "a", "candidates": "b"}', "user and candidates"),
        ('{"user": "a", "candidates": [], "said": [1]}', "said is a list"),
        ('{"user": "a", "candidates": [], "said": {"a": 1}}', "said is a list"),
        ('{"user": "a", "candidates": [], "said": [], "comments": 1}', "comments is one text"),
    ],
)
def test_a_damaged_replay_is_named(tmp_path, line, said):
    path = tmp_path / "kept.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(UserError, match=said):
        said_before([], path)
    with pytest.raises(UserError, match="cannot be read"):
        said_before([], tmp_path / "nowhere")


@pytest.fixture(scope="module")
def sample():
    return load_dataset(DataConfig(reviews=True))


@pytest.fixture(scope="module")
def sample_tasks(sample):
    from jaxrec.data.item_words import read_item_words
    from jaxrec.data.profiles.table import join
    from jaxrec.precompute.simulated_user.task import make_tasks

    candidates = popular_candidates(sample, 20)
    return make_tasks(sample, candidates, read_item_words(DataConfig(), sample), join([], sample.num_users), 30)


def hits(dataset, tasks, orders, top=10):
    """Mean hits of the test part among the first `top`."""
    wanted = set(zip(dataset.test.user_ids.tolist(), dataset.test.item_ids.tolist(), strict=True))
    return np.mean(
        [
            sum((task.user, item) in wanted for item in task.items[order.order[:top]].tolist())
            for task, order in zip(tasks, orders, strict=True)
        ]
    )


def test_the_oracle_helps_the_more_the_less_noise_it_has(sample, sample_tasks):
    identity = rerank(sample_tasks, said_by_nobody(sample_tasks))
    assert all((order.order == np.arange(20)).all() for order in identity)
    found = [
        hits(sample, sample_tasks, rerank(sample_tasks, said_by_oracle(sample_tasks, sample, noise, 0)))
        for noise in (0.0, 2.0, 1000.0)
    ]
    plain = hits(sample, sample_tasks, identity)
    assert found[0] > 1.3 * plain
    assert found[0] > found[1] > found[2]
    again = said_by_oracle(sample_tasks, sample, 2.0, 0)
    assert again == said_by_oracle(sample_tasks, sample, 2.0, 0)
    # Noise that shared its hashes with the split would rank the held-out pairs by itself.
    plain_noise = hits(sample, sample_tasks, rerank(sample_tasks, said_by_oracle(sample_tasks, sample, 1e6, 0)))
    assert abs(plain_noise - 0.5 * hits(sample, sample_tasks, identity, top=20)) < 0.06
    assert again != said_by_oracle(sample_tasks, sample, 2.0, 1)


def test_chance_puts_any_order_that_its_seed_says(sample, sample_tasks):
    chance = said_by_chance(sample_tasks, sample, 0)
    assert chance == said_by_chance(sample_tasks, sample, 0) != said_by_chance(sample_tasks, sample, 1)
    alone = said_by_chance(sample_tasks[5:6], sample, 0)
    # One user's order does not depend on who else is asked.
    assert alone == chance[5:6]
    orders = np.stack([order.order for order in rerank(sample_tasks, chance)])
    # Every place is as likely to hold any candidate.
    np.testing.assert_allclose(orders.mean(axis=0), 9.5, atol=1.0)


def test_the_oracle_of_other_data_knows_the_held_out_parts(tmp_path):
    made = job(tmp_path, agent="oracle", oracle_noise=0.0)
    result, arrays, _ = run(tmp_path, made)
    assert arrays["item_ids"].tolist() == [["i6", "i7", "i2"], ["i7", "i2", "i5"]]
    assert result.extra["reads_held_out"]


def test_the_rule_prefers_what_the_user_chose_before(sample, sample_tasks):
    config = SimulatedUserConfig()
    answers = FakeJob(sample, RulesBackend(STEP.rules)).ask(make_requests(sample_tasks[:200], config))
    from jaxrec.precompute.simulated_user.agents import said_by_model

    said = said_by_model(sample_tasks[:200], answers, config.template)
    assert all(len(given.names) == 10 for given in said)
    orders = rerank(sample_tasks[:200], said)
    plain = rerank(sample_tasks[:200], said_by_nobody(sample_tasks[:200]))
    assert hits(sample, sample_tasks[:200], orders) > hits(sample, sample_tasks[:200], plain)


def test_popular_candidates_are_new_and_sorted(sample):
    found = popular_candidates(sample, 20)
    popularity = np.bincount(sample.train.item_ids, minlength=sample.num_items)
    seen = set(zip(sample.train.user_ids.tolist(), sample.train.item_ids.tolist(), strict=True))
    for user, items in list(zip(found.user_ids.tolist(), found.item_ids, strict=True))[::50]:
        assert not any((user, item) in seen for item in items.tolist())
        assert (np.diff(popularity[items]) <= 0).all()
        left = [item for item in np.flatnonzero(popularity > popularity[items[-1]]) if item not in items]
        assert all((user, item) in seen for item in left)


@pytest.mark.parametrize(
    ("users", "items", "said"),
    [
        (["ann"], [["i0", "i1"]], "lists of 2 items; 4 are needed"),
        (["zed"], [["i0", "i1", "i2", "i3"]], "user 'zed' is not in"),
        (["ann"], [["i0", "i1", "i99", "i3"]], "item 'i99' is not in"),
        (["ann"], [["i0", "i1", "i1", "i3"]], "an item twice"),
        (["ann", "ann"], [["i0", "i1", "i2", "i3"]] * 2, "two lists"),
        (["ann", "bob"], [["i0", "i1", "i2", "i3"]], "shapes"),
    ],
)
def test_candidates_that_do_not_fit_are_named(tmp_path, users, items, said):
    np.savez(tmp_path / "topk.npz", user_ids=np.array(users), item_ids=np.array(items))
    with pytest.raises(UserError, match=said):
        read_candidates(str(tmp_path / "topk.npz"), world(), 4)


def test_damaged_candidates_and_settings_are_named(tmp_path):
    path = tmp_path / "topk.npz"
    for content in (b"", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="whole topk"):
            read_candidates(str(path), world(), 4)
    np.savez(path, user_ids=np.array(["ann"], dtype=object), item_ids=np.array([["i1"]]))
    with pytest.raises(UserError, match="whole topk"):
        read_candidates(str(path), world(), 4)
    with pytest.raises(UserError, match="not found"):
        read_candidates(str(tmp_path / "nowhere"), world(), 4)
    for changes, said in [
        ({"top": 0}, "top: found 0"),
        ({"agent": "replay"}, "replies: found none"),
        ({"replies": "x"}, "beside agent llm"),
        ({"things": "{name}"}, "things"),
        ({"user_limit": 0}, "user_limit"),
    ]:
        with pytest.raises(UserError, match=said):
            SimulatedUserConfig(**changes).validate()
