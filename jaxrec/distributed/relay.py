"""A local door to the coordination service of JAX, which stays open when the service is gone.

A client of the service ends its process with a dump of its own as soon as its connection breaks. Behind this door it
does not notice, and the process has the time to say in one line what happened (jaxrec.distributed.member).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CHUNK = 2**16


class Relay:
    """Listens on a free port of this machine and passes every connection on to host:port."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._welcome, name="relay", daemon=True).start()

    @property
    def address(self) -> str:
        """HOST:PORT of the door."""
        return f"127.0.0.1:{self._door.getsockname()[1]}"

    def _welcome(self) -> None:
        while True:
            near, _ = self._door.accept()
            far = self._reach()
            self._kept += [near, far]
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _reach(self) -> socket.socket:
        """A connection to the service, which may not listen yet; whoever waits for it has a time-out of its own."""
        while True:
            try:
                return socket.create_connection(self._there)
            except OSError:
                time.sleep(0.1)

    def _pump(self, source: socket.socket, target: socket.socket, outward: bool) -> None:
        """Pass on until the source ends; only the end of what goes outward is passed on."""
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                target.sendall(data)
        if outward:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
