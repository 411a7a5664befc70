"""What was answered once: replies and vectors under the hash of all that they depend on, each kept as it arrives.

Two processes may share a cache: who asks a request holds a lease on it, and the other waits for the reply. A lease
ends when its process dies, and after a while without a sign of life where that cannot be seen (another machine).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrec.errors import UserError
from jaxrec.precompute.database import Database
from jaxrec.precompute.owner import is_dead, new_owner
from jaxrec.precompute.requests import Reply, Vector

LEASE_SECONDS = 300.0
_AT_ONCE = 500
"""Hashes a query: SQLite takes no more than some hundred parameters everywhere."""


class Usage(NamedTuple):
    """What the kept replies of a step took: how many, and their sums."""

    count: int = 0
    prompt_tokens: int = 0
    prompt_estimate: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class Cache:
    """A cache file, which is made where there is none.

    lease_seconds: see the module. renew_seconds: between signs of life; None: a third of a lease.
    """

    def __init__(
        self, path: str | Path, lease_seconds: float = LEASE_SECONDS, renew_seconds: float | None = None
    ) -> None:
        self.path = path
        self._database = Database(path, durable=True)
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / 3 if renew_seconds is None else renew_seconds
        self._owner = new_owner()
        self._closed = threading.Event()
        self._holding = False
        self._renewer = threading.Thread(target=self._renew, name="jaxrec-cache-leases", daemon=True)
        self._renewer.start()

    def replies(self, hashes: Sequence[str]) -> dict[str, Reply]:
        """Those that are there, by hash; the key of each is its hash."""
        columns = "hash, text, prompt_tokens, completion_tokens, cost_usd, estimated, problem"
        return {
            row[0]: Reply(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6])
            for row in self._rows(columns, "replies", hashes)
        }

    def vectors(self, hashes: Sequence[str]) -> dict[str, Vector]:
        """Those that are there, by hash; the key of each is its hash."""
        columns = "hash, vector, prompt_tokens, cost_usd, estimated"
        return {
            row[0]: Vector(row[0], np.frombuffer(row[1], "<f4").astype(np.float32), row[2], row[3], bool(row[4]), True)
            for row in self._rows(columns, "vectors", hashes)
        }

    def keep_reply(
        self, request_hash: str, reply: Reply, model: str, step: str, prompt_estimate: int, seconds: float = 0.0
    ) -> None:
        """Keep a reply for good and end the lease on it. The first one stays where there are two.

        seconds: since the reply before it, or since asking began; their sum is what all took.
        """
        row = (request_hash, model, step, reply.text, reply.problem, reply.prompt_tokens, reply.completion_tokens)
        row += (reply.cost_usd, int(reply.estimated), prompt_estimate, time.time())
        with self._database.writing() as connection:
            connection.execute(f"INSERT OR IGNORE INTO replies VALUES ({','.join('?' * len(row))})", row)
            connection.execute("DELETE FROM leases WHERE hash = ?", (request_hash,))
            connection.execute(
                "INSERT INTO paces VALUES (?, ?, ?) ON CONFLICT (model) DO UPDATE SET seconds = seconds"
                " + excluded.seconds, completion_tokens = completion_tokens + excluded.completion_tokens",
                (model, seconds, reply.completion_tokens),
            )

    def keep_vectors(self, vectors: Iterable[tuple[str, Vector]], model: str) -> None:
        """Keep vectors by their hash for good and end the leases on them, in one transaction."""
        now = time.time()
        rows = [
            (digest, model, _blob(vector), vector.prompt_tokens, vector.cost_usd, int(vector.estimated), now)
            for digest, vector in vectors
        ]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?,?,?,?,?,?,?)", rows)
            connection.executemany("DELETE FROM leases WHERE hash = ?", [(row[0],) for row in rows])

    def claim(self, hashes: Sequence[str]) -> set[str]:
        """Take leases on all that nobody has answered and nobody else holds; those taken."""
        now, claimed = time.time(), set()
        with self._database.writing() as connection:
            owners = [row[0] for row in connection.execute("SELECT DISTINCT owner FROM leases")]
            gone = [(owner,) for owner in owners if owner != self._owner and is_dead(owner)]
            connection.executemany("DELETE FROM leases WHERE owner = ?", gone)
            for digest in hashes:
                if connection.execute(
                    "SELECT 1 FROM replies WHERE hash = ? UNION ALL SELECT 1 FROM vectors WHERE hash = ?",
                    (digest, digest),
                ).fetchone():
                    continue
                taken = connection.execute(
                    "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (hash) DO UPDATE"
                    " SET owner = excluded.owner, expires = excluded.expires"
                    " WHERE expires < ? OR owner = excluded.owner",
                    (digest, self._owner, now + self._lease_seconds, now),
                )
                if taken.rowcount:
                    claimed.add(digest)
        self._holding = self._holding or bool(claimed)
        return claimed

    def release(self, hashes: Iterable[str]) -> None:
        """End the own leases on these."""
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM leases WHERE hash = ? AND owner = ?", [(digest, self._owner) for digest in hashes]
            )

    def usage(self, model: str, step: str) -> Usage:
        """What the replies of a step took whose token counts the server gave."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT COUNT(*), SUM(prompt_tokens), SUM(prompt_estimate), SUM(completion_tokens), SUM(cost_usd)"
                " FROM replies WHERE model = ? AND step = ? AND NOT estimated",
                (model, step),
            ).fetchone()
        return Usage(*row) if row[0] else Usage()

    def seconds_a_token(self, model: str) -> float | None:
        """How long a model took for a token of its answers, prompts and all included; None where nobody knows."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT seconds, completion_tokens FROM paces WHERE model = ?", (model,)
            ).fetchone()
        return row[0] / row[1] if row is not None and row[0] > 0 and row[1] > 0 else None

    def close(self) -> None:
        """End all own leases and give the file back."""
        self._closed.set()
        self._renewer.join()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases WHERE owner = ?", (self._owner,))
        self._database.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, columns: str, table: str, hashes: Sequence[str]) -> Iterable[tuple]:
        for start in range(0, len(hashes), _AT_ONCE):
            some = list(hashes[start : start + _AT_ONCE])
            marks = ",".join("?" * len(some))
            with self._database.reading() as connection:
                yield from connection.execute(f"SELECT {columns} FROM {table} WHERE hash IN ({marks})", some).fetchall()

    def _renew(self) -> None:
        """Signs of life: who generates for an hour without a reply keeps its leases."""
        while not self._closed.wait(self._renew_seconds):
            # One sign that could not be written (the file is busy) is none: the next one is due in time.
            if self._holding:
                with contextlib.suppress(UserError), self._database.writing() as connection:
                    expires = time.time() + self._lease_seconds
                    connection.execute("UPDATE leases SET expires = ? WHERE owner = ?", (expires, self._owner))


def _blob(vector: Vector) -> bytes:
    return vector.values.astype("<f4").tobytes()
