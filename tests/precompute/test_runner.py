"""The runner with backends that need no server: rules, replay, and one made up; its plan and its progress."""

import dataclasses
import time

import pytest

from jaxrec.precompute.planning import LEARNED_FROM
from jaxrec.precompute.progress import Progress
from jaxrec.precompute.replay_backend import ReplayBackend
from jaxrec.precompute.requests import Failure, Plan, Reply
from jaxrec.precompute.rules_backend import RulesBackend
from jaxrec.precompute.runner import Runner
from tests.precompute.asking import request, requests


class Told:
    """Answers as it is told to: by key a text, or an exception after so many."""

    name, model, cacheable = "told", "told-1", True

    def __init__(self, texts=None, breaks_after=10**9):
        self.texts, self.breaks_after, self.asked = texts or {}, breaks_after, []

    def ask(self, asked, on_result):
        for one in asked:
            if len(self.asked) == self.breaks_after:
                raise RuntimeError("power cut")
            self.asked.append(one)
            text = self.texts.get(one.key, '{"answer": "yes"}') if len(one.messages) == 2 else '{"answer": "repaired"}'
            on_result(Reply(one.key, text, 100, 40, 0.001))

    def plan(self, asked):
        tokens = sum(20 if one.expected_tokens is None else one.expected_tokens for one in asked)
        return Plan(len(asked), 0, 50 * len(asked), tokens, 1e-5 * 50 * len(asked) + 1e-5 * tokens)


def test_rules_answer_out_of_facts_and_are_not_kept(cache):
    backend = RulesBackend({"test": lambda asked: {"answer": asked.facts["name"].upper()}})
    asked = [request(key, facts={"name": key}) for key in "abc"]
    for _ in range(2):
        runner = Runner(backend, cache)
        answers = runner.ask(asked)
        assert [answer.value for answer in answers.values()] == [{"answer": key} for key in "ABC"]
        assert (runner.last.done, runner.last.cached, runner.last.cost_usd) == (3, 0, 0.0)
    assert runner.plan(asked).requests == 3
    wrong = Runner(RulesBackend({"test": lambda asked: {"other": 1}, "test:repair": lambda asked: {"other": 1}}))
    assert wrong.ask(asked[:1])["a"].kind == "missing"


def test_what_was_answered_before_a_crash_is_kept_and_its_leases_are_free(cache):
    broken, whole = Told(breaks_after=4), Told()
    with pytest.raises(RuntimeError, match="power cut"):
        Runner(broken, cache).ask(requests(10))
    runner = Runner(whole, cache)
    answers = runner.ask(requests(10))
    assert len(whole.asked) == 6
    assert sum(answer.cached for answer in answers.values()) == runner.last.cached == 4


def test_replay_gives_what_is_there_repairs_too_and_asks_nobody(cache):
    backend = Told({"2": "no json", "3": "no json, either"})
    first = Runner(backend, cache).ask(requests(5))
    assert first["2"].value == {"answer": "repaired"}
    assert (first["2"].prompt_tokens, first["2"].cost_usd) == (200, 0.002)
    runner = Runner(ReplayBackend("told-1"), cache)
    replayed = runner.ask(requests(6))
    assert isinstance(replayed.pop("5"), Failure)
    assert all(answer.cached for answer in replayed.values())
    assert [(a.value, a.cost_usd) for a in replayed.values()] == [(a.value, a.cost_usd) for a in first.values()]
    assert (runner.last.cached, runner.last.failed, runner.last.repaired) == (5, 1, 2)
    assert Runner(ReplayBackend("other"), cache).ask(requests(1))["0"].kind == "failed"


def test_keys_are_told_apart_and_no_request_is_left_without_a_result():
    with pytest.raises(ValueError, match="same key"):
        Runner(Told()).ask([request("a"), request("a", "other")])
    silent = Told()
    silent.ask = lambda asked, on_result: None
    with pytest.raises(RuntimeError, match="1 requests without a result"):
        Runner(silent).ask([request("a")])


def test_the_plan_learns_from_what_is_kept(cache):
    backend, asked = Told(), requests(200)
    runner = Runner(backend, cache)
    blind = runner.plan([*asked, request("same", "What is 0?")])
    assert (blind.requests, blind.cached, blind.prompt_tokens, blind.completion_tokens) == (201, 0, 10_000, 4_000)
    runner.ask(asked[:LEARNED_FROM])
    plan = runner.plan(asked)
    assert (plan.requests, plan.cached, plan.cached_cost_usd) == (200, LEARNED_FROM, pytest.approx(0.008))
    runner.ask(asked)
    replay = Runner(ReplayBackend("told-1"), cache).plan(asked)
    assert (replay.cached, replay.cost_usd) == (200, 0)
    # What a replayed run counts, though the backend's own guess was half of it.
    assert plan.completion_tokens + plan.cached_completion_tokens == replay.cached_completion_tokens == 8_000
    assert plan.prompt_tokens + plan.cached_prompt_tokens == replay.cached_prompt_tokens == 20_000


def test_a_plan_counts_open_repairs_and_expects_more_of_them(cache):
    texts = {str(number): "no json" for number in range(0, 20, 2)}
    runner = Runner(Told(texts), cache)
    runner.ask(requests(20))
    plan = runner.plan(requests(40))
    assert plan.cached == 20
    assert plan.cached_completion_tokens == 30 * 40
    assert plan.completion_tokens == pytest.approx(30 * 40, abs=5)


def test_time_that_nobody_knows_is_learned_from_what_is_kept(cache):
    class Slow(Told):
        """Its plan knows no time, as that of a model on this machine."""

        def ask(self, asked, on_result):
            for one in asked:
                time.sleep(0.02)
                super().ask([one], on_result)

        def plan(self, asked):
            return dataclasses.replace(super().plan(asked), untimed=bool(asked))

    runner = Runner(Slow(), cache)
    blind = runner.plan(requests(40))
    assert blind.untimed
    assert "is not known before it has answered" in blind.notes[0]
    runner.ask(requests(10))
    pace = cache.seconds_a_token("told-1")
    # At least what was slept, for 10 answers of 40 tokens; how much more is the machine's affair.
    assert pace >= 10 * 0.02 / 400
    plan = runner.plan(requests(40))
    assert not plan.untimed
    assert plan.notes == ()
    assert plan.seconds == pytest.approx(30 * 40 * pace)
    assert runner.plan(requests(10)) == dataclasses.replace(runner.plan(requests(10)), seconds=0.0, untimed=False)
    assert Runner(ReplayBackend("told-1"), cache).plan(requests(10)).seconds == 0


def test_progress_is_told_and_adds_up(cache):
    told: list[Progress] = []
    texts = {"1": "no json"}
    Runner(Told(texts), cache, told.append).ask(requests(6))
    last = told[-1]
    assert (last.total, last.ended, last.done, last.repaired, last.seconds_left) == (6, 6, 6, 1, 0.0)
    assert (last.prompt_tokens, last.completion_tokens, last.cost_usd) == (700, 280, pytest.approx(0.007))
    assert last.rate > 0
    assert last.missing_share == 0
    assert "6 of 6 done (0 cached, 1 repaired), 0 failed, 0 missing" in last.line()
