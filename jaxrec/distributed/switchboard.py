"""What process 0 runs for the gang: it gathers the processes, passes on what they say, and tells all when one is lost.

One line of JSON is one message. From a process: a greeting `{"process", "of", "versions"}`, then `{"beat"}`,
`{"say": value}` (process 0), `{"at": name}`, `{"signal": number}`, `{"left": message or null}`. To a process:
`{"refused": reason}` or `{"go"}`, then `{"beat"}`, `{"said": value}`, `{"passed": name}`, `{"signal": number}`,
`{"lost": process, "why": text}`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

from jaxrec.distributed.gang import Gang
from jaxrec.errors import UserError

LIMIT = 2**24
"""Longest message in bytes."""


def loopback(host: str) -> bool:
    """Whether an address means this machine alone."""
    return host in ("localhost", "::1") or host.startswith("127.")


def beat_seconds(gang: Gang) -> float:
    """Seconds between two signs of life."""
    return min(5.0, gang.stop_timeout / 4)


class Switchboard:
    """Listens on port + 1 of process 0, in a thread of its own. Raises UserError where the port is taken."""

    def __init__(self, gang: Gang, versions: dict[str, str]) -> None:
        self._gang, self._versions = gang, versions
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._ended: set[int] = set()
        self._barriers: dict[int, tuple[str, int]] = {}
        self._arrived: dict[int, int] = {}
        self._gone = False
        self._listening = threading.Event()
        self._error: OSError | None = None
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="switchboard", daemon=True).start()
        self._listening.wait()
        if self._error is not None:
            reason = self._error.strerror or self._error
            raise UserError(f"--coordinator: cannot listen on port {gang.port + 1} of {gang.host}: {reason}")

    def missing(self) -> list[int]:
        """Processes that have not come."""
        return sorted(set(range(self._gang.num_processes)) - self._writers.keys())

    def empty(self) -> bool:
        """Whether every other process has closed its connection."""
        return not self._writers.keys() - {0}

    async def _serve(self) -> None:
        host = self._gang.host if loopback(self._gang.host) else None
        try:
            server = await asyncio.start_server(self._converse, host, self._gang.port + 1, limit=LIMIT)
        except OSError as error:
            self._error = error
            return
        finally:
            self._listening.set()
        async with server:
            while True:
                await asyncio.sleep(beat_seconds(self._gang))
                self._tell(range(self._gang.num_processes), {"beat": True})

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            greeting = await _read(reader, self._gang.stop_timeout)
        except (OSError, ValueError, TimeoutError):  # not one of us
            writer.close()
            return
        refusal = self._refusal(greeting)
        if refusal:
            _write(writer, {"refused": refusal})
            writer.close()
            return
        process = greeting["process"]
        self._writers[process] = writer
        if not self.missing():
            self._gone = True
            self._tell(range(self._gang.num_processes), {"go": True})
        try:
            while True:
                self._take(process, await _read(reader, self._gang.stop_timeout))
        except TimeoutError:
            self._lost(process, f"has said nothing for {self._gang.stop_timeout:g} seconds")
        except (OSError, ValueError):
            self._lost(process, "died")
        del self._writers[process]
        writer.close()

    def _refusal(self, greeting: Any) -> str | None:
        """Why a process may not take part."""
        gang = self._gang
        if not isinstance(greeting, dict) or not isinstance(greeting.get("process"), int):
            return "it is not a process of this gang"
        process, of = greeting["process"], greeting.get("of")
        if of != gang.num_processes:
            return f"it was told of {of} processes, process 0 of {gang.num_processes}"
        if process in self._writers or self._gone:
            return f"there is a process {process} already; every process needs a number of its own"
        theirs = greeting.get("versions", {})
        for package, version in self._versions.items():
            if theirs.get(package) != version:
                return f"it has {package} {theirs.get(package)}, process 0 has {version}"
        return None

    def _take(self, process: int, message: dict[str, Any]) -> None:
        others = [other for other in range(self._gang.num_processes) if other != process]
        if "say" in message:
            self._tell(others, {"said": message["say"]})
        elif "signal" in message:
            self._tell([0], message)
        elif "at" in message:
            self._arrive(process, message["at"])
        elif "left" in message:
            self._ended.add(process)
            if message["left"] is not None:
                self._tell(others, {"lost": process, "why": message["left"], "told": True})

    def _arrive(self, process: int, name: str) -> None:
        """Count a process at its next barrier, the same for all; the last one lets all pass."""
        place = self._arrived[process] = self._arrived.get(process, 0) + 1
        expected, count = self._barriers.get(place, (name, 0))
        everyone = range(self._gang.num_processes)
        if expected != name:
            why = f"waits at {name!r} where others wait at {expected!r}, which is a mistake in jaxrec"
            self._tell(everyone, {"lost": process, "why": why})
        self._barriers[place] = expected, count + 1
        if count + 1 == self._gang.num_processes:
            del self._barriers[place]
            self._tell(everyone, {"passed": name})

    def _lost(self, process: int, why: str) -> None:
        # Before all are there, another may come in its place.
        if self._gone and process not in self._ended:
            self._ended.add(process)
            self._tell(range(self._gang.num_processes), {"lost": process, "why": why})

    def _tell(self, processes: Any, message: dict[str, Any]) -> None:
        for process in processes:
            if process in self._writers:
                _write(self._writers[process], message)


async def _read(reader: asyncio.StreamReader, seconds: float) -> Any:
    """The next message. Raises TimeoutError, OSError or ValueError (of an unfinished line, too)."""
    async with asyncio.timeout(seconds):
        return json.loads(await reader.readline())


def _write(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")
