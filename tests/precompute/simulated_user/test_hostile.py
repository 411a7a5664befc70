"""What strangers wrote into titles and profiles stays in its own field of the prompt."""

import csv
import json

import pytest

from jaxrec.precompute.untrusted_text import CLOSING, OPENING
from tests.precompute.hostile_texts import HOSTILE_TEXTS
from tests.precompute.simulated_user.test_step import TITLES, Given, job, run


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_hostile_title_changes_its_own_name_alone(tmp_path, text):
    titles = [*TITLES]
    titles[2] = "Plain"
    made, benign = job(tmp_path, Given(lambda request: None)), job(tmp_path, Given(lambda request: None))
    titles[2] = text
    made = job(tmp_path, Given(lambda request: None), titles=titles)
    for each in (made, benign):
        run(tmp_path, each)
    hostile, plain = made.asked[0].messages[1].content, benign.asked[0].messages[1].content
    assert hostile.partition(OPENING)[0] == plain.partition(OPENING)[0]
    assert hostile.count(OPENING) == hostile.count(CLOSING) == 1
    assert hostile.count("\n") == plain.count("\n")
    found, wanted = (json.loads(each.partition(OPENING)[2].removesuffix(CLOSING)) for each in (hostile, plain))
    assert found["profile"] == wanted["profile"]
    assert found["memory"] == wanted["memory"]
    if "(2)" not in found["candidates"][0]:
        assert found["candidates"][1:] == wanted["candidates"][1:]
    assert len(found["candidates"][0]) <= 90


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_hostile_trait_changes_its_own_profile_alone(tmp_path, text):
    asked = {}
    for trait in ("Rome", text):
        made = job(tmp_path, Given(lambda request: None), template="rank")
        with (tmp_path / "users.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
            rows = [("user", "location", "gender"), ("ann", trait, "female"), ("bob", "Oslo", "male")]
            csv.writer(file).writerows(rows)
        run(tmp_path, made)
        asked[trait] = made.asked
    (hostile, other), (plain, same) = asked[text], asked["Rome"]
    assert other.messages == same.messages
    assert hostile.messages[0] == plain.messages[0]
    (told, _, block), (wanted, _, _) = (one.messages[1].content.partition(OPENING) for one in (hostile, plain))
    assert told == wanted
    assert block.count(CLOSING) == 1
    assert OPENING not in block
    data = json.loads(block.removesuffix(CLOSING))
    assert (data["memory"], data["candidates"]) == (["One, the first (2)", "Zero (5)"], list(hostile.facts["names"]))
    assert data["profile"].startswith("You are going to simulate a female user called")
    assert len(data["profile"]) <= 600
