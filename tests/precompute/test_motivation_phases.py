"""Items first, then users: who waits where items went unanswered."""

import json
import types

import pytest

from jaxrec.precompute.config import MotivationsConfig
from jaxrec.precompute.motivation_rules import item_rule, user_rule
from jaxrec.precompute.motivations import run
from jaxrec.precompute.requests import Answer, Failure
from tests.precompute.shop import USERS, shop


def run_with(folder, unanswered, kind):
    """What the step makes where these items have no answer; and the keys of each phase's requests."""
    phases = []

    def ask(requests):
        rule, without = (user_rule, ()) if phases else (item_rule, unanswered)
        phases.append([int(request.key) for request in requests])
        answers = {}
        for request in requests:
            if int(request.key) in without:
                answers[request.key] = Failure(request.key, "the server was gone", kind)
            else:
                value = rule(request)
                answers[request.key] = Answer(request.key, json.dumps(value), value, 0, 0, 0.0, False)
        return answers

    config = types.SimpleNamespace(motivations=MotivationsConfig())
    job = types.SimpleNamespace(dataset=shop(), config=config, ask=ask, model="rules", backend_name="rules")
    return run(job, folder), phases


@pytest.mark.parametrize("kind", ["failed", "stopped"])
def test_a_user_waits_for_an_item_that_will_be_asked_again(tmp_path, kind):
    made, (_, users) = run_with(tmp_path, {0}, kind)
    dataset = shop()
    waiting = set(dataset.train.user_ids[dataset.train.item_ids == 0].tolist())
    assert 0 < len(waiting) < USERS
    assert set(users) == set(range(USERS)) - waiting
    assert made.rows["user"]["failed"] == len(waiting)
    assert not made.complete


def test_nobody_waits_for_an_answer_that_will_never_fit(tmp_path):
    made, (_, users) = run_with(tmp_path, {0}, "missing")
    assert users == list(range(USERS))
    assert made.complete
