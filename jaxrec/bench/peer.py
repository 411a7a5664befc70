"""A peer program in a process of its own, asked over pipes; it waits while others are timed."""

from __future__ import annotations

import json
import pathlib
import subprocess
from types import TracebackType
from typing import Any

from jaxrec.errors import UserError

PEERS = pathlib.Path(__file__).parent / "peers"


class Peer:
    """One JSON object a line to the peer's stdin, one back from its stdout. Use as a context manager."""

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        self._name = script
        try:
            self._process = subprocess.Popen(
                [python, str(PEERS / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise UserError(
                f"--torch-python: found {python!r} ({error.strerror}), allowed an interpreter that has PyTorch"
            ) from None

    def ask(self, **question: Any) -> dict[str, Any]:
        """The peer's answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError(
                f"--torch-python: {self._name} ended with status {self._process.wait()}, "
                "allowed an interpreter that has PyTorch and NumPy"
            )
        return json.loads(answer)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
