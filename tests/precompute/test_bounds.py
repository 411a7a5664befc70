"""max_usd and max_requests: the server keeps its own books, and they never show more."""

import concurrent.futures

import pytest

from jaxrec.precompute.cache import Cache
from jaxrec.precompute.embedding_runner import EmbeddingRunner
from jaxrec.precompute.ledger import Ledger
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings
from jaxrec.precompute.runner import Runner
from tests.precompute.asking import requests
from tests.precompute.misbehaving_server import FAULTS, at_random

QUICK = {"first_wait_seconds": 0.005, "longest_wait_seconds": 0.02, "concurrency": 8}


def run(path, settings, asked, job="job"):
    with Cache(path) as cache:
        backend = OpenAIBackend(settings, path, job)
        try:
            return Runner(backend, cache, wait_seconds=0.02).ask(asked), backend.spent()
        finally:
            backend.close()


@pytest.mark.parametrize("faulty", [False, True])
def test_dollars_stop_before_the_bound_also_where_lost_answers_are_charged(start, settings, tmp_path, faulty):
    faults = [fault for fault in FAULTS if fault not in ("hang", "drip")] + ["usage_missing", "usage_absurd"]
    server = start(at_random(0.3, 3, faults) if faulty else None, charges_silent=True, delay=0.005)
    bound = 0.006
    answers, spent = run(tmp_path / "c.sqlite", settings(server, max_usd=bound, **QUICK), requests(200))
    ends = [getattr(answer, "kind", "done") for answer in answers.values()]
    assert ends.count("stopped") > 20
    assert ends.count("done") > 20
    assert "max_usd 0.006" in next(a.reason for a in answers.values() if getattr(a, "kind", "") == "stopped")
    assert 0 < server.charged_usd <= spent.most_usd <= bound
    if not faulty:
        # What is under way is waited for: less than one request's most is left over.
        assert bound - spent.most_usd < 5e-4
    # A new run under the same job finds the bound where it was.
    received = len(server.received)
    run(tmp_path / "c.sqlite", settings(server, max_usd=bound, **QUICK), requests(200))
    assert server.charged_usd <= bound
    assert len(server.received) - received <= 2
    _, spent = run(tmp_path / "c.sqlite", settings(server, max_usd=1.0, **QUICK), requests(200))
    assert sum(1 for count in server.charged.values() if count) == 200


def test_requests_stop_at_the_bound_attempts_and_runs_counted_together(start, settings, tmp_path):
    server = start(at_random(0.3, 5, ["429", "500", "no_choice"]))
    for bound in (30, 30, 50):
        answers, spent = run(tmp_path / "c.sqlite", settings(server, max_requests=bound, **QUICK), requests(100))
        assert len(server.received) == spent.requests == bound
    assert any("50 of max_requests 50" in getattr(answer, "reason", "") for answer in answers.values())


def test_two_runs_at_once_share_bound_and_answers(start, settings, tmp_path):
    server = start(at_random(0.2, 7, ["429", "500"]), delay=0.005)
    given = settings(server, max_usd=0.5, **QUICK)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, tmp_path / "c.sqlite", given, requests(60)) for _ in range(2)]
        answers = [future.result()[0] for future in runs]
    assert set(server.charged.values()) == {1}
    assert len(server.charged) == 60
    assert [a.value for a in answers[0].values()] == [a.value for a in answers[1].values()]


def test_embeddings_share_the_bound(start, settings, tmp_path):
    server = start()
    path = tmp_path / "c.sqlite"
    run(path, settings(server, **QUICK), requests(20))
    spent = server.charged_usd
    with Cache(path) as cache:
        backend = OpenAIEmbeddings(settings(server, max_usd=spent + 1e-6, **QUICK), path, "job")
        embedded = EmbeddingRunner(backend, cache).embed(["a text", "another"])
        backend.close()
    assert not embedded.present.any()
    assert {failure.kind for failure in embedded.failures.values()} == {"stopped"}
    assert server.charged_usd == spent


def test_books_of_jobs_are_apart_and_what_a_closed_one_had_reserved_counts(tmp_path):
    one, two = (Ledger(tmp_path / "c.sqlite", job, max_usd=1.0) for job in ("one", "two"))
    first = one.reserve(0.6)
    assert first is not None
    assert one.reserve(0.6) is None
    assert two.reserve(0.6) is not None
    one.settle(first, 0.1)
    one.settle(first, 0.1)
    assert one.spent().certain_usd == 0.1
    assert one.reserve(0.6) is not None
    one.close()
    one = Ledger(tmp_path / "c.sqlite", "one")
    assert one.spent().possible_usd == 0.6
    assert one.spent().requests == 2
    one.close()
    two.close()
