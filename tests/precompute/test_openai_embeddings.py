"""Hosted embeddings against a real server that misbehaves."""

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.embedding_runner import EmbeddingRunner
from jaxrec.precompute.openai_connection import Unusable
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings, read_vectors
from jaxrec.precompute.replay_backend import ReplayBackend
from tests.precompute.misbehaving_server import FAULTS, always, at_random


def embed(cache, backend, texts, width=None):
    try:
        runner = EmbeddingRunner(backend, cache, width, wait_seconds=0.02)
        return runner.embed(texts), runner.last
    finally:
        if isinstance(backend, OpenAIEmbeddings):
            backend.close()


def texts_of(count):
    return ["x" * (number + 1) for number in range(count)]


def test_rows_are_those_of_their_texts_and_a_second_run_asks_nothing(start, settings, cache):
    server, texts = start(), [*texts_of(300), "", "  ", "x"]
    embedded, progress = embed(cache, OpenAIEmbeddings(settings(server), cache.path), texts, width=5)
    assert embedded.values.shape == (303, 5)
    assert embedded.values.dtype == np.float32
    # The server puts the length of the text into the first number.
    assert embedded.values[:, 0].tolist() == [*range(1, 301), 0, 0, 1]
    assert embedded.present.tolist() == [*[True] * 300, False, False, True]
    assert embedded.failures == {}
    # Batches are under way at the same time: which arrives first is open.
    assert sorted(len(body["input"]) for _, _, body in server.received) == [44, 128, 128]
    assert server.received[0][2]["dimensions"] == 5
    assert (progress.total, progress.done, progress.cached) == (301, 301, 0)
    assert progress.cost_usd == pytest.approx(server.charged_usd)
    again, progress = embed(cache, ReplayBackend("test-embed"), texts, width=5)
    np.testing.assert_array_equal(again.values, embedded.values)
    assert (progress.cached, progress.cost_usd, len(server.received)) == (301, 0, 3)
    # Of another width nothing is known.
    other, progress = embed(cache, ReplayBackend("test-embed"), texts, width=4)
    assert not other.present.any()
    assert other.values.shape == (303, 4)
    assert progress.failed == 301
    assert "not in the cache" in other.failures[0].reason


def test_every_text_once_under_faults(start, settings, cache):
    # Silence ends before the client's patience does, so that no good answer is ever given up.
    server = start(at_random(0.4, 4, [*FAULTS, "usage_missing"]), silence=0.5)
    texts = [f"{n} " * 900 for n in range(200)]
    embedded, _ = embed(cache, OpenAIEmbeddings(settings(server, max_attempts=20), cache.path), texts)
    assert embedded.present.all()
    assert embedded.values[:, 0].tolist() == [float(len(text)) for text in texts]
    assert set(server.charged.values()) == {1}


def test_a_text_that_is_refused_does_not_take_others_with_it(start, settings, cache):
    server = start(lambda number, body, before: "400" if any("bad" in text for text in body["input"]) else None)
    texts = [*texts_of(20), "bad", *texts_of(40)[20:]]
    embedded, progress = embed(cache, OpenAIEmbeddings(settings(server), cache.path), texts)
    assert np.flatnonzero(~embedded.present).tolist() == [20]
    assert "status 400" in embedded.failures[20].reason
    assert (progress.done, progress.failed) == (40, 1)


def test_vectors_of_two_widths_are_refused(start, settings, cache, monkeypatch):
    server = start()
    embed(cache, OpenAIEmbeddings(settings(server), cache.path), ["one"])
    monkeypatch.setattr("tests.precompute.misbehaving_server._embedded", lambda body: (
        {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "usage": {"prompt_tokens": 1}}, 0.0))  # fmt: skip
    with pytest.raises(UserError, match="vectors of 8 and of 2 numbers"):
        embed(cache, OpenAIEmbeddings(settings(server), cache.path), ["one", "two"])


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["a"]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [float("nan")]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [0.0]}]},
        {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [[1.0]]}, {"index": 1, "embedding": [[1.0]]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": [1], "embedding": [1.0]}]},
        {"data": [None, None]},
        {"error": "no"},
        [],
    ],
)
def test_what_is_no_vector_is_not_kept(body):
    with pytest.raises(Unusable):
        read_vectors(body, 2, None)


def test_the_plan_counts_what_is_not_kept(start, settings, cache):
    server, texts = start(), [f"a plain text about game number {number}" for number in range(40)]
    backend = OpenAIEmbeddings(settings(server), cache.path)
    runner = EmbeddingRunner(backend, cache)
    before = runner.plan([*texts, *texts, ""])
    assert (before.requests, before.cached) == (40, 0)
    runner.embed(texts[:30])
    after = runner.plan(texts)
    assert (after.requests, after.cached) == (40, 30)
    assert after.cached_cost_usd == pytest.approx(runner.last.cost_usd) == pytest.approx(server.charged_usd)
    # What the server counted for 30 of them is what the other 10 are expected to cost.
    assert after.cost_usd == pytest.approx(server.charged_usd / 3, rel=0.05)
    assert 0.5 < before.cost_usd / (server.charged_usd * 4 / 3) < 2
    backend.close()


def test_two_runs_at_once_pay_each_text_once(start, settings, tmp_path):
    import concurrent.futures

    server, texts = start(always("usage_missing"), delay=0.05), texts_of(150)

    def run(_):
        with Cache(tmp_path / "c.sqlite") as cache:
            return embed(cache, OpenAIEmbeddings(settings(server), cache.path), texts)[0]

    with concurrent.futures.ThreadPoolExecutor() as pool:
        one, two = pool.map(run, range(2))
    np.testing.assert_array_equal(one.values, two.values)
    assert sum(len(body["input"]) for _, _, body in server.received) == 150
