"""How far a run is: done, failed, missing, tokens, cost, rate, time left."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from jaxrec.precompute.requests import Answer, Failure, Vector


@dataclasses.dataclass(frozen=True)
class Progress:
    """Figures of one call of the runner. total counts requests; done those with an answer.

    failed, missing, stopped: see Failure. cached: those done or missing without asking anybody. Tokens and cost are
    of this call alone, what came out of the cache not counted; estimated: replies whose token counts are ours, because
    the server's could not be true. rate: requests ended a second that somebody was asked for. seconds_left: at that
    rate; None while nobody can tell.
    """

    total: int
    done: int = 0
    failed: int = 0
    missing: int = 0
    stopped: int = 0
    cached: int = 0
    repaired: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    estimated: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    seconds_left: float | None = None

    @property
    def ended(self) -> int:
        """Requests of which nothing more is expected."""
        return self.done + self.failed + self.missing + self.stopped

    @property
    def missing_share(self) -> float:
        """Of all requests, those without an answer for whatever reason."""
        return 1.0 - self.done / self.total if self.total else 0.0

    def line(self) -> str:
        """All of it in one line."""
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        estimated = f", {self.estimated} replies with estimated tokens" if self.estimated else ""
        stopped = f", {self.stopped} stopped" if self.stopped else ""
        return (
            f"{self.done} of {self.total} done ({self.cached} cached, {self.repaired} repaired), {self.failed} failed, "
            f"{self.missing} missing{stopped}; {self.prompt_tokens} + {self.completion_tokens} tokens, "
            f"{self.cost_usd:.4f} US dollars{estimated}; {self.rate:.1f} a second{left}"
        )


class Meter:
    """Counts what ends and tells somebody at most every so many seconds, and at the end."""

    def __init__(self, total: int, tell: Callable[[Progress], None] | None, every_seconds: float = 1.0) -> None:
        self._figures = Progress(total)
        self._tell, self._every = tell, every_seconds
        self._start = self._told = time.monotonic()

    def took(self, prompt_tokens: int, completion_tokens: int, cost_usd: float, estimated: bool) -> None:
        """Somebody was asked and took this for the reply."""
        figures = self._figures
        self._figures = dataclasses.replace(
            figures,
            prompt_tokens=figures.prompt_tokens + prompt_tokens,
            completion_tokens=figures.completion_tokens + completion_tokens,
            cost_usd=figures.cost_usd + cost_usd,
            estimated=figures.estimated + estimated,
        )

    def ended(self, ends: int, what: Answer | Vector | Failure, cached: bool = False, repaired: bool = False) -> None:
        """So many requests have ended in this way."""
        name = what.kind if isinstance(what, Failure) else "done"
        changes: dict[str, Any] = {name: getattr(self._figures, name) + ends}
        changes["cached"] = self._figures.cached + ends * cached
        changes["repaired"] = self._figures.repaired + ends * repaired
        self._figures = dataclasses.replace(self._figures, **changes)
        if self._tell is not None and time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self._tell(self.progress())

    def progress(self) -> Progress:
        """The figures now."""
        figures, seconds = self._figures, time.monotonic() - self._start
        asked = figures.ended - figures.cached
        rate = asked / seconds if seconds > 0 else 0.0
        left = figures.total - figures.ended
        seconds_left = left / rate if rate > 0 else (None if left else 0.0)
        return dataclasses.replace(figures, seconds=seconds, rate=rate, seconds_left=seconds_left)

    def finish(self) -> Progress:
        """Tell the last figures, and return them."""
        progress = self.progress()
        if self._tell is not None:
            self._tell(progress)
        return progress
