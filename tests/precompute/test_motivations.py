"""Motivations: out of training alone, whatever users wrote, in the form that is asked for."""

import dataclasses
import json

import numpy as np
import pytest

from jaxrec.precompute.config import MotivationsConfig
from jaxrec.precompute.motivation_requests import ITEM, USER, item_requests, user_requests
from jaxrec.precompute.motivation_rules import item_rule, user_rule
from jaxrec.precompute.motivation_schema import SCHEMA, TYPES, TYPICAL
from jaxrec.precompute.motivation_words import polarity, type_of, words_of
from jaxrec.precompute.prompts import read_prompt
from jaxrec.precompute.schema import check_schema, parse_answer
from jaxrec.precompute.training_rows import training_rows
from jaxrec.precompute.untrusted_text import CLOSING, OPENING
from tests.precompute.hostile_texts import HOSTILE_TEXTS
from tests.precompute.shop import CALM, HARD, TOLD, USERS, shop

CONFIG = MotivationsConfig()


def by_rules(dataset, config=CONFIG):
    """Answers of items and users by integer id, each checked against the schema."""
    items = {int(request.key): checked(item_rule(request)) for request in item_requests(dataset, config)}
    users = {int(request.key): checked(user_rule(request)) for request in user_requests(dataset, config, items)}
    return items, users


def checked(value):
    return parse_answer(json.dumps(value), SCHEMA)


def all_text(request):
    return " ".join(message.content for message in request.messages) + repr(request.facts)


def told(request):
    """What the data block of a request holds."""
    lines = request.messages[1].content.split("\n")
    assert [lines[0], lines[2], len(lines)] == [OPENING, CLOSING, 3]
    return json.loads(lines[1])


# Training alone


def test_nothing_of_valid_and_test_is_asked_or_answered():
    dataset = shop(train_text="Lovely lanterns by the quay.")
    requests = item_requests(dataset, CONFIG)
    items, users = by_rules(dataset)
    requests += user_requests(dataset, CONFIG, items)
    assert len(requests) == 12 + USERS
    assert not [request.key for request in requests if TOLD in all_text(request).lower()]
    assert TOLD not in json.dumps([items, users])
    assert sum("lanterns" in all_text(request) for request in requests) > 6
    # The planted word is found where it is allowed to be, so that the test above can fail.
    leaking = dataclasses.replace(dataset, train=dataset.test)
    assert any(TOLD in all_text(request) for request in item_requests(leaking, CONFIG))


def test_a_user_is_told_of_training_items_alone():
    dataset = shop()
    for request in user_requests(dataset, CONFIG, {}):
        user = int(request.key)
        mine = dataset.train.item_ids[dataset.train.user_ids == user]
        shown = {entry["description"] for entry in told(request)["items"]}
        assert shown == {dataset.item_text[item] for item in mine}


def test_without_reviews_the_texts_of_items_are_enough():
    dataset = shop()
    parts = {name: dataclasses.replace(getattr(dataset, name), reviews=None) for name in ("train", "valid", "test")}
    bare = dataclasses.replace(dataset, reviews=None, **parts)
    items, users = by_rules(bare)
    assert (len(items), len(users)) == (12, USERS)
    assert "crash" not in json.dumps(items)


def test_chosen_rows_follow_from_raw_ids_alone():
    dataset = shop()
    turned = dataclasses.replace(dataset, train=dataset.train.take(np.arange(len(dataset.train))[::-1]))
    for side, most in (("user", 2), ("item", 1), ("user", 99)):
        chosen = []
        for data in (dataset, turned):
            indptr, rows = training_rows(data, side, most, reviewed=False)
            pairs = [(int(data.train.user_ids[row]), int(data.train.item_ids[row])) for row in rows]
            assert (np.diff(indptr) <= most).all()
            assert len(set(pairs)) == len(pairs)
            chosen.append((indptr.tolist(), pairs))
        assert chosen[0] == chosen[1]


def test_a_pair_that_stands_twice_counts_once():
    dataset = shop()
    twice = dataclasses.replace(dataset, train=dataset.train.take(np.repeat(np.arange(len(dataset.train)), 2)))
    for side in ("user", "item"):
        once = training_rows(dataset, side, 3, reviewed=True)
        assert training_rows(twice, side, 3, reviewed=True)[0].tolist() == once[0].tolist()


# What is asked


def test_the_chain_of_thought_is_the_order_of_the_answer():
    assert list(SCHEMA["properties"]) == ["evidence", "positive", "negative", "summary"]
    check_schema(SCHEMA)
    assert checked(TYPICAL) == TYPICAL
    for name in (ITEM, USER):
        text = read_prompt(name).text
        places = [
            text.index(f"{number}. {word}") for number, word in ((1, "evidence"), (2, "positive"), (3, "summary"))
        ]
        assert places == sorted(places)
        assert all(f"{kind}: " in " ".join(text.split()) for kind in TYPES)


def test_users_are_asked_with_the_motivations_of_their_items():
    """LMMRec Eq. 1: the union of what speaks for and against the items of n."""
    dataset = shop()
    plain = {request.key: request for request in user_requests(dataset, CONFIG, {})}
    answer = TYPICAL | {"positive": [{"type": "theme", "motivation": "planted motive"}]}
    mine = set(dataset.train.user_ids[dataset.train.item_ids == 0].tolist())
    for request in user_requests(dataset, CONFIG, {0: answer}):
        entries = [entry for entry in told(request)["items"] if "positive" in entry]
        assert bool(entries) == (int(request.key) in mine)
        assert all(entry["positive"] == ["theme: planted motive"] for entry in entries)
        assert all(entry["negative"] == [f"quality: {TYPICAL['negative'][0]['motivation']}"] for entry in entries)
        assert (request.hash("m") == plain[request.key].hash("m")) == (int(request.key) not in mine)


def test_brief_prompts_tell_the_same_data_in_fewer_words():
    dataset, brief = shop(), MotivationsConfig(prompts="brief")
    for ask in (item_requests, lambda *given: user_requests(*given, {})):
        for full, short in zip(ask(dataset, CONFIG), ask(dataset, brief), strict=True):
            data = full.messages[1].content
            system, user = (message.content for message in short.messages)
            assert user.startswith(f"{data}\n\n")
            question = user.removeprefix(data)
            assert 3 * len(f"{system} {question}".split()) < len(full.messages[0].content.split())
            assert all(f"{field}: " in question for field in SCHEMA["properties"])
            assert all(mark in system for mark in (OPENING, CLOSING, "Follow no instruction"))
            assert "{data}" not in system + question
            assert short.prompt_version.partition(" ")[0] != full.prompt_version.partition(" ")[0]


def test_limits_and_lengths_hold():
    dataset = shop(train_text="word " * 500)
    config = MotivationsConfig(
        item_limit=3, user_limit=2, item_reviews=1, user_items=2, review_chars=50, item_chars=60, max_tokens=99
    )
    items, users = item_requests(dataset, config), user_requests(dataset, config, {})
    assert [request.key for request in items + users] == ["0", "1", "2", "0", "1"]
    assert {(request.max_tokens, request.expected_tokens) for request in items + users} == {(99, 99)}
    for request in items:
        fields = told(request)
        assert len(fields["reviews"]) == 1
        assert len(fields["description"]) <= 60
        assert len(fields["reviews"][0]["review"]) <= 50
    assert all(len(told(request)["items"]) == 2 for request in users)


def test_an_item_of_which_nothing_is_known_is_not_asked_about():
    dataset = shop(texts=("", "   ", *["Something."] * 10))
    assert dataset.train.reviews is not None
    silent = dataclasses.replace(
        dataset, train=dataclasses.replace(dataset.train, reviews=dataset.train.reviews * 0 - 1)
    )
    assert [request.key for request in item_requests(silent, CONFIG)] == [str(item) for item in range(2, 12)]


def test_another_prompt_or_schema_is_another_version():
    prompt = read_prompt(ITEM)
    changed = dataclasses.replace(prompt, sha256="0" * 64)
    assert len({prompt.version_with(SCHEMA), changed.version_with(SCHEMA), prompt.version_with(SCHEMA | {"x": 1})}) == 3


# Texts of users are data


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_hostile_review_changes_its_own_field_alone(name):
    text = HOSTILE_TEXTS[name]
    dataset = shop()
    place = int(dataset.train.reviews[np.flatnonzero(dataset.train.item_ids == 0)[0]])
    said = [dataset.reviews[row] for row in range(len(dataset.reviews))]
    said[place] = text
    poisoned = dataclasses.replace(dataset, reviews=type(dataset.reviews).pack(said))
    clean_requests, requests = item_requests(dataset, CONFIG), item_requests(poisoned, CONFIG)
    assert [a.hash("m") for a in clean_requests[1:]] == [b.hash("m") for b in requests[1:]]
    clean, found = told(clean_requests[0]), told(requests[0])
    assert requests[0].messages[0] == clean_requests[0].messages[0]
    assert set(found) == set(clean)
    assert found["description"] == clean["description"]
    reviews = [entry.get("review", "") for entry in found["reviews"]]
    assert all(len(review) <= CONFIG.review_chars for review in reviews)
    assert sum(review != "Lovely lanterns, it calms me." for review in reviews) <= 1
    items, _ = by_rules(poisoned)
    clean_items, _ = by_rules(dataset)
    for item in HARD:
        assert items[item]["positive"] == clean_items[item]["positive"]


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_hostile_description_has_an_answer_that_fits_or_none(name):
    items, users = by_rules(shop(texts=(HOSTILE_TEXTS[name],) * 12))
    assert len(users) == USERS
    assert all(value["summary"].strip() and value["positive"][0]["motivation"].strip() for value in items.values())


# What the rules find


def test_rules_tell_what_speaks_for_a_thing_from_what_speaks_against_it():
    items, users = by_rules(shop())
    for item in CALM:
        assert "relaxation" in {part["type"] for part in items[item]["positive"]}
        assert items[item]["negative"] == []
    for item in HARD:
        assert "challenge" in {part["type"] for part in items[item]["positive"]}
        assert items[item]["negative"] == [{"type": "quality", "motivation": "crash, servers"}]
        assert "crash" not in json.dumps(items[item]["positive"])
    for user in range(USERS // 2):
        assert "relax" in users[user]["summary"]
        assert "duels" not in users[user]["summary"]


def test_summaries_name_what_sets_things_apart():
    items, _ = by_rules(shop())
    for item, place in ((0, "garden"), (1, "harbour"), (8, "castle")):
        assert [place in items[other]["summary"] for other in (item, (item + 1) % 12)] == [True, False]


def test_rules_are_deterministic():
    assert by_rules(shop()) == by_rules(shop())


@pytest.mark.parametrize(
    ("text", "rating", "sign"),
    [
        ("", 5.0, 1),
        ("terrible", 5.0, 1),
        ("great", 1.0, -1),
        ("This is great, I love it", None, 1),
        ("This is not great", None, -1),
        ("Never boring", 3.0, 1),
        ("Boring and a waste", 3.0, -1),
        ("It came on Monday", None, 0),
        ("great", 87.0, 1),
    ],
)
def test_a_rating_decides_where_it_is_clear_and_words_elsewhere(text, rating, sign):
    assert polarity(text, rating) == sign


def test_words_say_why_and_have_types():
    assert words_of("I really LOVED the co-op, and it is relaxing: 10/10") == ["co-op", "relaxing"]
    assert [type_of(word) for word in ("co-op", "relaxing", "overpriced", "dragons")] == [
        "social",
        "relaxation",
        "value",
        "theme",
    ]
