"""What a job has cost and may yet cost: bounds that hold across restarts, kills and processes at once.

Before a request leaves, the most it can cost is reserved; when its end is known, the reservation becomes what it did
cost. What a killed process had reserved counts as spent, since nobody knows how far its requests came.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jaxrec.precompute.database import Database
from jaxrec.precompute.owner import is_dead, new_owner


class Spent(NamedTuple):
    """Of a job, over all its runs: requests sent, US dollars by the servers' own figures, and US dollars that may
    have been charged besides (no answer came, or one without believable figures). reserved: what is under way."""

    requests: int = 0
    certain_usd: float = 0.0
    possible_usd: float = 0.0
    reserved_usd: float = 0.0

    @property
    def most_usd(self) -> float:
        """The most that all of it can have cost."""
        return self.certain_usd + self.possible_usd + self.reserved_usd


class Ledger:
    """The books of one job in a cache file.

    job: the name under which runs share the bounds. max_usd, max_requests: None for no bound. requests counts what
    was sent, repeated attempts included.
    """

    def __init__(
        self, path: str | Path, job: str, max_usd: float | None = None, max_requests: int | None = None
    ) -> None:
        self.job, self.max_usd, self.max_requests = job, max_usd, max_requests
        # A reservation that a power cut takes with it is of a request that the same cut ended.
        self._database = Database(path, durable=False)
        self._owner = new_owner()
        with self._database.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO spent VALUES (?, 0, 0.0, 0.0)", (job,))
        self._bury_the_dead()

    def reserve(self, usd: float) -> int | None:
        """A reservation for one request that costs usd at most; None where it could pass a bound."""
        with self._database.writing() as connection:
            spent = self._spent(connection)
            if self.max_requests is not None and spent.requests >= self.max_requests:
                return None
            if self.max_usd is not None and spent.most_usd + usd > self.max_usd:
                return None
            connection.execute("UPDATE spent SET requests = requests + 1 WHERE job = ?", (self.job,))
            cursor = connection.execute(
                "INSERT INTO reservations (job, owner, usd) VALUES (?, ?, ?)", (self.job, self._owner, usd)
            )
            return cursor.lastrowid

    def settle(self, reservation: int, certain_usd: float = 0.0, possible_usd: float = 0.0) -> None:
        """The request has ended and cost this; a second call for the same reservation does nothing."""
        with self._database.writing() as connection:
            if connection.execute("DELETE FROM reservations WHERE id = ?", (reservation,)).rowcount:
                connection.execute(
                    "UPDATE spent SET certain_usd = certain_usd + ?, possible_usd = possible_usd + ? WHERE job = ?",
                    (certain_usd, possible_usd, self.job),
                )

    def spent(self) -> Spent:
        """The books as they stand."""
        with self._database.reading() as connection:
            return self._spent(connection)

    def bound(self) -> str:
        """The bounds and what has gone, in words, for the one who reached them."""
        spent = self.spent()
        parts = []
        if self.max_requests is not None:
            parts.append(f"{spent.requests} of max_requests {self.max_requests}")
        if self.max_usd is not None:
            parts.append(f"{spent.most_usd:.4f} US dollars of max_usd {self.max_usd:g}")
        return f"the bound of job {self.job!r} is reached: {', '.join(parts)} spent or under way"

    def close(self) -> None:
        """What is still reserved counts as possibly spent; the file is given back."""
        with self._database.writing() as connection:
            self._give_up(connection, self._owner)
        self._database.close()

    def _spent(self, connection) -> Spent:
        row = connection.execute(
            "SELECT requests, certain_usd, possible_usd,"
            " (SELECT COALESCE(SUM(usd), 0.0) FROM reservations WHERE job = ?) FROM spent WHERE job = ?",
            (self.job, self.job),
        ).fetchone()
        return Spent(*row)

    def _bury_the_dead(self) -> None:
        with self._database.writing() as connection:
            for (owner,) in connection.execute("SELECT DISTINCT owner FROM reservations").fetchall():
                if is_dead(owner):
                    self._give_up(connection, owner)

    @staticmethod
    def _give_up(connection, owner: str) -> None:
        for job, usd in connection.execute(
            "SELECT job, SUM(usd) FROM reservations WHERE owner = ? GROUP BY job", (owner,)
        ).fetchall():
            connection.execute("UPDATE spent SET possible_usd = possible_usd + ? WHERE job = ?", (usd, job))
        connection.execute("DELETE FROM reservations WHERE owner = ?", (owner,))
