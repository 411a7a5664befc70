"""SIGTERM and SIGINT ask a run to save and stop; a second one stops it at once."""

from __future__ import annotations

import signal
import types
from typing import Any


class StoppedBySignalError(Exception):
    """The run was saved and stopped; exit_code is 143 for SIGTERM and 130 for SIGINT."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.exit_code = 128 + number
        self.step = step


class StopRequests:
    """Context in which the two signals are noted instead of ending the process."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: types.FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
