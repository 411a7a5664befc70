"""This process among the others: what it says and hears, and how it ends when another one is lost."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from typing import Any

from jaxrec.distributed.gang import Gang
from jaxrec.distributed.switchboard import LIMIT, Switchboard, beat_seconds
from jaxrec.errors import UserError

PEER_LOST = 3
"""Exit status of a process that stopped because another one did."""
_OWN_WORDS = 5.0  # seconds in which a process may come to the same end by itself, and say so better


class Member:
    """A connection to the switchboard of process 0 and a thread that hears it.

    Raises UserError where not all have come within the time to join, and where this process is refused.
    """

    def __init__(self, gang: Gang, versions: dict[str, str]) -> None:
        self.gang = gang
        self.signal: int | None = None
        self._told_signal = False
        self._heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._leaving = False
        self._lost_note: dict[str, Any] | None = None
        self._lost_event = threading.Event()
        deadline = time.monotonic() + gang.join_timeout
        self._board = Switchboard(gang, versions) if gang.process_id == 0 else None
        self._socket = self._connect(deadline)
        self._send({"process": gang.process_id, "of": gang.num_processes, "versions": versions})
        threading.Thread(target=self._listen, name="member", daemon=True).start()
        self._await_go(deadline)

    def say(self, value: Any) -> Any:
        """Process 0's value, in every process; a JSON value. Process 0 goes on at once."""
        if self.gang.process_id == 0:
            self._send({"say": value})
            return json.loads(json.dumps(value))
        heard = self._heard.get()
        assert "said" in heard, f"waited for a word of process 0, heard {heard}"
        return heard["said"]

    def wait(self, name: str) -> None:
        """Until every process waits at this place."""
        self._send({"at": name})
        passed = self._heard.get()
        assert passed.get("passed") == name, f"at {name}, heard {passed}"

    def tell_signal(self, number: int) -> None:
        """Tell process 0, once, that this one was asked to stop; there, `signal` holds the number."""
        if not self._told_signal:
            self._told_signal = True
            self._send({"signal": number})

    def forget_signals(self) -> None:
        """They have been followed: what begins after them is not stopped by them."""
        self.signal, self._told_signal = None, False

    def end(self) -> None:
        """Leave at the end of the work; what others do from now on is no matter of this process."""
        self._leaving = True
        self._send({"left": None})
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def fail(self, message: str) -> bool:
        """Leave with a mistake, which ends the others; whether this process shall say it itself.

        All may have made the same mistake: then process 0 alone says it.
        """
        self._leaving = True
        self._send({"left": message})
        deadline = time.monotonic() + _OWN_WORDS
        if self._board is not None:
            while not self._board.empty() and time.monotonic() < deadline:
                time.sleep(0.05)
            return True
        self._lost_event.wait(_OWN_WORDS)
        note = self._lost_note
        return note is None or note["lost"] != 0 or note["why"] != message

    def sleep_if_lost(self) -> None:
        """Return where no other process turns out to be lost; else this one is ended meanwhile (`_stop`)."""
        if self._lost_event.wait(self.gang.stop_timeout):
            time.sleep(2 * _OWN_WORDS)

    def _connect(self, deadline: float) -> socket.socket:
        gang = self.gang
        while True:
            try:
                found = socket.create_connection((gang.host, gang.port + 1), timeout=5)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"process {gang.process_id}: {gang.host}:{gang.port + 1} of process 0 has not answered in "
                        f"{gang.join_timeout:g} seconds: {error.strerror or error}"
                    ) from error
                time.sleep(0.2)
                continue
            found.settimeout(beat_seconds(gang))
            return found

    def _await_go(self, deadline: float) -> None:
        gang = self.gang
        try:
            # The others hear of it from process 0, which knows who is missing.
            message = self._heard.get(timeout=max(0.0, deadline - time.monotonic()) + (gang.process_id > 0) * 5)
        except queue.Empty:
            self._leaving = True
            waited = f"waited {gang.join_timeout:g} seconds for all {gang.num_processes} processes"
            if self._board is None:
                raise UserError(waited) from None
            missing = ", ".join(str(process) for process in self._board.missing() if process > 0)
            raise UserError(f"{waited}; these have not come: {missing}") from None
        if "refused" in message:
            raise UserError(f"process {gang.process_id} cannot take part: {message['refused']}")

    def _send(self, message: dict[str, Any]) -> None:
        # A broken connection is noticed, and told, by the thread that hears.
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        """Hear until process 0 falls silent, or hangs up, which is the usual end where this process has left."""
        with self._socket:
            self._stop(self._hear())

    def _hear(self) -> dict[str, Any]:
        unfinished, heard_at, sent_at = b"", time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            if now - sent_at >= beat_seconds(self.gang):
                self._send({"beat": True})
                sent_at = now
            try:
                data = self._socket.recv(LIMIT)
            except TimeoutError:
                if time.monotonic() - heard_at < self.gang.stop_timeout:
                    continue
                silence = f"has said nothing for {self.gang.stop_timeout:g} seconds"
                return {"lost": 0, "why": silence}
            except OSError:
                data = b""
            if not data:
                return {"lost": 0, "why": "died"}
            heard_at = time.monotonic()
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "lost" in message:
            # In a thread of its own: a better word of process 0 may be on its way.
            threading.Thread(target=self._stop, args=(message,), daemon=True).start()
        elif "refused" in message:
            self._leaving = True
            self._heard.put(message)
        elif "signal" in message:
            self.signal = message["signal"]
        elif "beat" not in message:
            self._heard.put(message)

    def _stop(self, note: dict[str, Any]) -> None:
        """Another process is lost: say so and end this one, unless it is about to end by itself."""
        if self._lost_note is None or note["lost"] == 0:
            self._lost_note = note
        self._lost_event.set()
        if note.get("told"):
            time.sleep(_OWN_WORDS / 2)
        if self._leaving:
            return
        self._leaving = True
        process = self.gang.process_id
        if note.get("told"):
            line = f"process {note['lost']} stopped: {note['why']}"
        else:
            line = (
                f"process {note['lost']} of {self.gang.num_processes} {note['why']}, so process {process} stops too; "
                "the same command goes on from the last checkpoint"
            )
        exit_with(PEER_LOST, f"jaxrec: error: {line}\n")


def exit_with(status: int, text: str) -> None:
    """End the process now: what runs at a usual exit would wait for the others."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K\x1b[?25h")  # where a progress bar stood
        sys.stderr.write(text)
        sys.stderr.flush()
    os._exit(status)
