"""How long to wait before asking again: what the server says, or longer each time with a random part."""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Mapping


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that `retry-after-ms` or `Retry-After` (a number or a date) asks for; None where neither says it.

    now: seconds since 1970, for the date.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def backoff(attempt: int, first: float, longest: float) -> float:
    """Seconds before attempt + 1, where attempt counts from 1: doubled each time, of which between half and all.

    The random part keeps those that failed together from coming back together.
    """
    most = min(longest, first * 2.0 ** min(attempt - 1, 30))
    return most * random.uniform(0.5, 1.0)


class Gate:
    """Closed for everybody while a server has asked to wait."""

    def __init__(self) -> None:
        self._opens = 0.0

    def close_for(self, seconds: float) -> None:
        """Let nobody pass for that long; a longer closing stays."""
        self._opens = max(self._opens, time.monotonic() + seconds)

    async def passed(self) -> None:
        """Wait until the gate is open, and a little longer each, so that not all go through at once."""
        while (left := self._opens - time.monotonic()) > 0:
            await asyncio.sleep(left + random.uniform(0.0, min(0.05 * left, 1.0)))
