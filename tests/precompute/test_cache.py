"""The cache alone: what is kept, who holds a lease, and what becomes of it."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.owner import is_dead, new_owner
from jaxrec.precompute.requests import EmbeddingRequest, Reply, Vector
from tests.precompute.asking import SCHEMA, request

REPLY = Reply("h1", '{"a": "é\u2028\x00"}', 10, 20, 0.125, True, "cut")


def test_replies_and_vectors_come_back_as_they_were(tmp_path):
    vector = Vector("v1", np.array([1.5, -0.0, 3e-30], np.float32), 3, 0.5, True)
    with Cache(tmp_path / "new" / "cache.sqlite") as cache:
        cache.keep_reply("h1", REPLY, "m", "s", 9)
        cache.keep_reply("h1", dataclasses.replace(REPLY, text="later"), "m", "s", 9)
        cache.keep_vectors([("v1", vector)], "m")
    with Cache(tmp_path / "new" / "cache.sqlite") as cache:
        assert cache.replies(["h0", "h1"]) == {"h1": REPLY}, "the first one stays"
        found = cache.vectors(["v1", "v2"])
        assert list(found) == ["v1"]
        assert found["v1"].values.tobytes() == vector.values.tobytes()
        assert found["v1"].cached
        assert cache.claim(["h1", "v1", "h2"]) == {"h2"}, "what is answered needs no asking"


def test_a_lease_is_of_one_and_ends_with_its_reply_its_release_or_its_owner(tmp_path):
    path = tmp_path / "cache.sqlite"
    with Cache(path) as one:
        other = Cache(path)
        assert one.claim(["a", "b", "c"]) == {"a", "b", "c"}
        assert one.claim(["a"]) == {"a"}
        assert other.claim(["a", "b", "c", "d"]) == {"d"}
        one.keep_reply("a", REPLY, "m", "s", 1)
        one.release(["b", "d"])
        assert other.claim(["a", "b", "c", "d"]) == {"b", "d"}
        other.close()
        assert one.claim(["b", "c", "d"]) == {"b", "c", "d"}


def test_a_lease_without_a_sign_of_life_runs_out(tmp_path):
    path = tmp_path / "cache.sqlite"
    with Cache(path, renew_seconds=0.05) as one, Cache(path) as other:
        one.claim(["a", "b"])
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.execute("UPDATE leases SET expires = ?", (time.time() - 1,))
            deadline = time.monotonic() + 60
            while connection.execute("SELECT MIN(expires) FROM leases").fetchone()[0] < time.time():
                assert time.monotonic() < deadline, "no sign of life"
                time.sleep(0.01)
        connection.close()
        assert other.claim(["a", "b"]) == set(), "renewed while its owner lives"
        with sqlite3.connect(path) as connection:
            connection.execute(
                "UPDATE leases SET owner = 'elsewhere|1||x', expires = ? WHERE hash = 'a'", (time.time(),)
            )
        connection.close()
        assert other.claim(["a", "b"]) == {"a"}


def test_owners_live_until_their_process_ends():
    code = "from jaxrec.precompute.owner import new_owner; print(new_owner(), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.kill()
    deadline = time.monotonic() + 10
    while not is_dead(owner) and time.monotonic() < deadline:
        time.sleep(0.01)
    # Not yet waited for: a zombie still has its number, and is dead all the same.
    assert is_dead(owner)
    process.communicate()
    assert is_dead(owner)
    mine = new_owner()
    assert not is_dead(mine)
    machine, pid, started, rest = mine.split("|")
    assert is_dead("|".join((machine, pid, str(int(started or 0) - 1), rest))) == bool(started)
    assert not is_dead("|".join(("elsewhere", "1", "5", rest)))
    assert not is_dead("nonsense")


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at as one " * 20)
    with pytest.raises(UserError, match="text: cannot be used as a cache"):
        Cache(tmp_path / "text")
    with pytest.raises(UserError, match="cannot be opened"):
        Cache(tmp_path / "text" / "below")
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UserError, match="version 99"):
        Cache(tmp_path / "newer")


def test_a_file_from_before_there_were_paces_is_taken(tmp_path):
    path = tmp_path / "cache.sqlite"
    with Cache(path) as cache:
        cache.keep_reply("h1", REPLY, "m", "s", 9)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE paces")
    connection.close()
    with Cache(path) as cache:
        assert cache.replies(["h1"]) == {"h1": REPLY}
        assert cache.seconds_a_token("m") is None
        for name, seconds in (("h2", 3.0), ("h3", 1.0)):
            cache.keep_reply(name, REPLY, "m", "s", 9, seconds)
        assert cache.seconds_a_token("m") == 4.0 / 40
        assert cache.seconds_a_token("other") is None


def test_the_hash_is_of_all_that_the_answer_depends_on():
    asked = request("a")
    same = [dataclasses.replace(asked, key="b"), dataclasses.replace(asked, step="x", facts={"a": 1}),
            dataclasses.replace(asked, expected_tokens=3), dataclasses.replace(asked, temperature=0)]  # fmt: skip
    others = [dataclasses.replace(asked, **change) for change in (
        {"messages": asked.messages[:1]}, {"messages": asked.messages[::-1]}, {"prompt_version": "2"},
        {"schema": None}, {"schema": {**SCHEMA, "title": "x"}}, {"max_tokens": 65}, {"temperature": 0.1}, {"seed": 1},
    )]  # fmt: skip
    assert {one.hash("m") for one in same} == {asked.hash("m")}
    assert len({asked.hash("m"), asked.hash("n"), *(one.hash("m") for one in others)}) == 2 + len(others)
    assert request("a", "\ud800").hash("m") != request("a", "?").hash("m")
    texts = [EmbeddingRequest("k", "t"), EmbeddingRequest("k", "t", 3), EmbeddingRequest("k", "u")]
    assert len({one.hash("m") for one in texts} | {texts[0].hash("n")}) == 4
