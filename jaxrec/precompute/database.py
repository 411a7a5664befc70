"""The SQLite file that cache and ledger share: opened so that two processes may, and a killed one leaves it whole."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from jaxrec.errors import UserError

VERSION = 1
MEMORY = ":memory:"
_BUSY_SECONDS = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    hash TEXT PRIMARY KEY, model TEXT NOT NULL, step TEXT NOT NULL, text TEXT NOT NULL, problem TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost_usd REAL NOT NULL,
    estimated INTEGER NOT NULL, prompt_estimate INTEGER NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replies_by_step ON replies (model, step);
CREATE TABLE IF NOT EXISTS vectors (
    hash TEXT PRIMARY KEY, model TEXT NOT NULL, vector BLOB NOT NULL, prompt_tokens INTEGER NOT NULL,
    cost_usd REAL NOT NULL, estimated INTEGER NOT NULL, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS leases (
    hash TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    job TEXT PRIMARY KEY, requests INTEGER NOT NULL, certain_usd REAL NOT NULL, possible_usd REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, owner TEXT NOT NULL, usd REAL NOT NULL
);
"""
_LATER_TABLES = """
CREATE TABLE IF NOT EXISTS paces (
    model TEXT PRIMARY KEY, seconds REAL NOT NULL, completion_tokens INTEGER NOT NULL
) WITHOUT ROWID;
"""
"""Files of the first version may lack them; who does not know them does not miss them."""


class Database:
    """One connection, which threads take in turn.

    path: the file; its folder is made. MEMORY keeps nothing. durable: a commit outlives a power cut, not only the
    process. Raises: UserError where it cannot be opened, is no such file, or is of another version.
    """

    def __init__(self, path: str | Path, durable: bool) -> None:
        self.path = str(path)
        self._lock = threading.Lock()
        try:
            if self.path != MEMORY:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"cache: {path}: cannot be opened ({error})") from error
        try:
            self._prepare(durable)
        except sqlite3.Error as error:
            self._connection.close()
            raise UserError(f"cache: {path}: cannot be used as a cache ({error})") from error

    def _prepare(self, durable: bool) -> None:
        # Readers do not wait for the writer, and what a killed process left half written is not seen by anyone.
        self._write_ahead()
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            self._connection.close()
            raise UserError(f"cache: {self.path}: version {version}; this jaxrec reads version {VERSION}")
        if version == 0:
            # Two processes may come here at once: one waits, and finds all of it made.
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'paces'").fetchone() is None:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_LATER_TABLES} COMMIT;")

    def _write_ahead(self) -> None:
        """Turn on the write-ahead log; SQLite does not wait by itself where another process is about to do the same."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process writes beside: all of it or nothing. Raises: UserError."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise UserError(f"cache: {self.path}: cannot be written ({error})") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries. Raises: UserError."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise UserError(f"cache: {self.path}: cannot be read ({error})") from error

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()
