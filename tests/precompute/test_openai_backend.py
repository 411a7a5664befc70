"""The hosted backend against a real server that misbehaves."""

import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.requests import Answer, Failure
from jaxrec.precompute.runner import Runner
from tests.precompute.asking import request, requests, right
from tests.precompute.misbehaving_server import RETRY_AFTER, MisbehavingServer, always, in_turn


def ask(cache, settings, asked, **options):
    backend = OpenAIBackend(settings, cache.path, **options)
    try:
        runner = Runner(backend, cache, wait_seconds=0.02)
        return runner.ask(asked), runner.last, backend.spent()
    finally:
        backend.close()


def test_answers_are_those_of_their_requests_and_a_second_run_asks_nothing(start, settings, cache):
    server, asked = start(together=4), requests(12)
    answers, progress, spent = ask(cache, settings(server), asked)
    assert list(answers) == [one.key for one in asked]
    assert all(answers[one.key].value == right(one) for one in asked)
    assert server.most_under_way == 4
    assert (progress.done, progress.cached, progress.failed, progress.missing) == (12, 0, 0, 0)
    assert progress.cost_usd == pytest.approx(server.charged_usd)
    assert spent.certain_usd == pytest.approx(server.charged_usd)
    assert (spent.requests, spent.possible_usd) == (12, 0)
    again, progress, _ = ask(cache, settings(server), asked)
    assert len(server.received) == 12
    assert (progress.cached, progress.cost_usd) == (12, 0)
    assert all(again[key].cached and again[key].value == answers[key].value for key in answers)
    assert again["3"].cost_usd == answers["3"].cost_usd > 0


def test_what_the_server_is_sent(start, settings, cache):
    server = start()
    ask(cache, settings(server), [request("a", temperature=0.5, seed=7)])
    body = server.received[0][2]
    assert body["messages"] == [{"role": "system", "content": "You answer."}, {"role": "user", "content": "What is a?"}]
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("test-chat", 0.5, 7, 64)
    shape = body["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert "minLength" not in str(shape)
    ask(cache, settings(server, token_field="max_completion_tokens", sampling=False, structured=False), [request("b")])
    body = server.received[1][2]
    assert body["max_completion_tokens"] == 64
    assert not {"max_tokens", "temperature", "seed", "response_format"} & set(body)
    assert '"minLength": 1' in body["messages"][-1]["content"]


def test_equal_requests_are_asked_once(start, settings, cache):
    server = start()
    answers, progress, _ = ask(cache, settings(server), [request("a", "same"), request("b", "same"), request("c")])
    assert len(server.received) == 2
    assert answers["a"].value == answers["b"].value
    assert (answers["b"].key, progress.done) == ("b", 3)


@pytest.mark.parametrize("fault", ["429", "429_wait", "500", "reset", "cut", "half_json", "no_choice"])
def test_one_fault_costs_one_more_attempt(start, settings, cache, fault):
    server = start(in_turn(fault))
    answers, progress, spent = ask(cache, settings(server), [request("a")])
    assert answers["a"].value == right(request("a"))
    assert len(server.received) == spent.requests == 2
    # What may have been charged without an answer is booked at the most it can have been.
    lost = fault not in ("429", "429_wait", "500")
    assert (spent.possible_usd > 0) == lost
    assert progress.cost_usd == pytest.approx(server.charged_usd)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_server_that_says_nothing_is_given_up_and_asked_again(start, settings, cache, fault):
    server = start(in_turn(fault), silence=60.0)
    answers, progress, spent = ask(cache, settings(server, timeout_seconds=0.6, max_attempts=50), [request("a")])
    assert answers["a"].value == right(request("a"))
    # On a busy machine a good answer may be late, too: it is charged, and the books know that it may have been.
    assert 2 <= len(server.received) <= spent.requests
    assert spent.possible_usd > 0
    assert progress.cost_usd <= server.charged_usd + 1e-12
    assert server.charged_usd <= spent.most_usd


def test_nobody_asks_before_the_time_that_the_server_names(start, settings, cache):
    server = start(in_turn("429_wait", "429_wait", "429_wait", "429_wait"), together=4)
    answers, _, _ = ask(cache, settings(server, max_attempts=1), requests(12))
    assert all(isinstance(answer, Answer) for answer in answers.values()), "refusals are no attempts"
    times = [moment for moment, _, _ in server.received]
    refused = min(server.answered[:4])
    assert all(moment >= refused + RETRY_AFTER for moment in times[4:])
    assert len(times) == 16


def test_too_many_faults_end_one_request_and_not_the_others(start, settings, cache):
    server = start(lambda number, body, before: "500" if "What is 2?" in str(body) else None)
    answers, progress, _ = ask(cache, settings(server, max_attempts=3), requests(5))
    assert answers["2"].kind == "failed"
    assert "status 500" in answers["2"].reason
    assert (progress.done, progress.failed) == (4, 1)
    assert len(server.received) == 4 + 3
    server.fault = in_turn()
    answers, progress, _ = ask(cache, settings(server), requests(5))
    assert (progress.done, progress.cached) == (5, 4)


@pytest.mark.parametrize(
    ("fault", "said"), [("401", "key is refused"), ("404", "model"), ("quota", "nothing left"),
                        ("429_tomorrow", "86400 s"), ("400", "in a row")]
)  # fmt: skip
def test_a_server_that_refuses_all_ends_the_run(start, settings, cache, fault, said):
    server = start(always(fault))
    with pytest.raises(UserError, match=said):
        ask(cache, settings(server, give_up_after=3), requests(30))
    assert len(server.received) <= 8


def test_a_server_that_is_not_there(settings, cache):
    with MisbehavingServer() as server:
        gone = settings(server, max_attempts=2, give_up_after=3)
    with pytest.raises(UserError, match="in a row had no answer"):
        ask(cache, gone, requests(30))
    backend = OpenAIBackend(gone, cache.path)
    assert backend.spent().possible_usd == 0
    backend.close()


@pytest.mark.parametrize("fault", ["wrong_schema", "half_answer", "empty", "length", "refusal"])
def test_an_answer_that_does_not_fit_is_repaired_once(start, settings, cache, fault):
    server, asked = start(in_turn(fault)), [request("a")]
    answers, progress, _ = ask(cache, settings(server), asked)
    assert answers["a"].value == right(asked[0])
    assert (progress.repaired, len(server.received)) == (1, 2)
    repair = server.received[1][2]["messages"]
    assert [message["role"] for message in repair] == ["system", "user", "assistant", "user"]
    assert "The error:" in repair[-1]["content"]
    assert answers["a"].cost_usd == pytest.approx(server.charged_usd)
    again, progress, _ = ask(cache, settings(server), asked)
    assert (len(server.received), progress.cached, again["a"].cached) == (2, 1, True)
    assert again["a"].cost_usd == answers["a"].cost_usd


def test_a_repair_that_does_not_fit_is_missing_for_good(start, settings, cache):
    server = start(always("wrong_schema"))
    for _ in range(2):
        answers, progress, _ = ask(cache, settings(server), [request("a")])
        assert isinstance(answers["a"], Failure)
        assert answers["a"].kind == "missing"
        assert '"answer" missing' in answers["a"].reason
        assert (progress.missing, len(server.received)) == (1, 2)


@pytest.mark.parametrize("fault", ["usage_missing", "usage_negative", "usage_absurd", "usage_words", "usage_list"])
def test_wrong_usage_figures_are_estimated_and_said(start, settings, cache, fault):
    server = start(always(fault))
    answers, progress, spent = ask(cache, settings(server), requests(3))
    assert progress.estimated == 3
    assert "3 replies with estimated tokens" in progress.line()
    assert 0.3 * server.charged_usd < progress.cost_usd < 3 * server.charged_usd
    assert all(answer.prompt_tokens > 0 and answer.completion_tokens > 0 for answer in answers.values())
    assert spent.certain_usd <= server.charged_usd * 3
    assert spent.most_usd >= server.charged_usd, "the books never say less than what was charged"


def test_no_key_and_no_price_are_said_before_anything_is_asked(start, settings, cache, monkeypatch):
    server = start()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="OPENAI_API_KEY: not set"):
        ask(cache, settings(server), requests(2))
    with pytest.raises(UserError, match="OTHER_KEY: not set"):
        ask(cache, settings(server, key_variable="OTHER_KEY"), requests(2))
    monkeypatch.setenv("OPENAI_API_KEY", "two words")
    with pytest.raises(UserError, match="is no key"):
        ask(cache, settings(server), requests(2))
    with pytest.raises(UserError, match="no price of 'other'"):
        ask(cache, settings(server, model="other", max_usd=1.0), requests(2))
    with pytest.raises(UserError, match="their own variable alone"):
        ask(cache, settings(server, base_url="http://user:word@127.0.0.1/v1"), requests(2))
    assert server.received == []


def test_time_outs_are_for_the_whole_answer(start, settings, cache):
    server = start(always("drip"), silence=60.0)
    answers, _, _ = ask(cache, settings(server, timeout_seconds=0.3, max_attempts=2), [request("a")])
    # Each byte comes in time, and the whole answer would come after some seconds.
    assert "within 0.3 s" in answers["a"].reason
