"""500 requests under 30 % faults, three kill -9s and a spend bound: every answer once, nothing paid for asked again."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from jaxrec.precompute.requests import Message
from tests.precompute.asking import requests, right
from tests.precompute.misbehaving_server import at_random

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT, CONCURRENCY, KILLED_AT, BOUND = 500, 16, (120, 240, 360), 0.15
FAULTS = ("429", "429_wait", "500", "no_choice", "reset", "cut", "half_json", "hang", "drip", "wrong_once")

pytestmark = pytest.mark.multiprocess


def begin(server, settings, path):
    given = {"cache": str(path), "settings": dataclasses.asdict(settings), "count": COUNT}
    command = [sys.executable, "-m", "tests.precompute.client_process", json.dumps(given)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hashes_kept(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT hash FROM replies")}


def hash_of(body):
    """Under which hash the answer to what the server was sent is kept."""
    messages = tuple(Message(message["role"], message["content"]) for message in body["messages"])
    return dataclasses.replace(requests(1)[0], messages=messages).hash("test-chat")


def test_500_requests_under_faults_and_three_kills(start, settings, tmp_path):
    # Silence ends before the client's patience does: no good answer is given up, however busy the machine.
    server = start(at_random(0.3, 11, FAULTS), delay=0.01, silence=0.8)
    path = tmp_path / "cache.sqlite"
    given = settings(
        server, concurrency=CONCURRENCY, first_wait_seconds=0.005, longest_wait_seconds=0.03,
        max_attempts=20, max_usd=BOUND,
    )  # fmt: skip
    kills = []
    for threshold in KILLED_AT:
        process = begin(server, given, path)
        while len(server.charged) < threshold:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills.append((len(server.received), hashes_kept(path)))
    process = begin(server, given, path)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")

    # Every answer once, and each of its own request.
    assert json.loads(output) == {asked.key: right(asked) for asked in requests(COUNT)}
    # What had arrived is never asked for again.
    sent = [(digest, hash_of(body)) for _, digest, body in server.received]
    for received, kept in kills:
        assert len(kept) > 50
        assert not kept & {request_hash for _, request_hash in sent[received:]}
    # Nothing is paid for twice but what was on its way from the server when its client was killed.
    paid_twice = {digest for digest, count in server.charged.items() if count > 1}
    on_the_way = {digest for received, kept in kills for digest, of in sent[:received] if of not in kept}
    assert paid_twice <= on_the_way
    assert sum(count - 1 for count in server.charged.values()) <= len(KILLED_AT) * CONCURRENCY
    with contextlib.closing(sqlite3.connect(path)) as connection:
        spent, number = connection.execute("SELECT certain_usd + possible_usd, requests FROM spent").fetchone()
        assert connection.execute("SELECT COUNT(*) FROM reservations").fetchone()[0] == 0
        assert connection.execute("SELECT COUNT(*) FROM leases").fetchone()[0] == 0
    assert server.charged_usd <= spent <= BOUND
    assert number >= len(server.received)
