"""Single requests to a server that speaks the OpenAI protocol: booked, repeated, bounded, the key in no text."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jaxrec.errors import UserError
from jaxrec.precompute.ledger import Ledger
from jaxrec.precompute.openai_settings import Key, OpenAISettings
from jaxrec.precompute.waiting import Gate, backoff, retry_after

_REPEATED = frozenset({408, 409, 425, 429})
_HOPELESS = {401: "the key is refused", 402: "the account is empty", 404: "not found (is the model's name right?)"}
_CHATTY = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_LOGGERS = tuple(
    f"{library}{part}"
    for library in _CHATTY
    for part in ("", "._base_client", "._response", ".connection", ".http11", ".http2", ".proxy", ".socks")
)
"""Filters of a logger do not see the records of its children: each that the client and its transports have is named."""
_SHOWN_CHARS = 300
Result = TypeVar("Result")


class Stopped(Exception):
    """Nothing more may be asked: a bound is reached, or the server refuses all; the message says which."""


class GivenUp(Exception):
    """One request has no answer and will have none in this run. status: of the last refusal, 0 for another trouble."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Unusable(Exception):
    """A body that is no answer, such as half of one; asked again."""


@dataclasses.dataclass(frozen=True)
class Usage:
    """What one exchange took. possible_usd: what it may have cost beyond cost_usd, where the figures are ours."""

    cost_usd: float
    possible_usd: float = 0.0


class Connection:
    """The client with its gate, its books and its patience, inside one event loop.

    Every exchange reserves the most it can cost before it leaves. An answer is charged what its usage says; a request
    that ended without one (time-out, broken connection, unusable body) counts at the most; a refusal (status 4xx or
    5xx) costs nothing.
    """

    def __init__(self, settings: OpenAISettings, key: Key, ledger: Ledger) -> None:
        import openai

        address = settings.address()
        self._openai, self._settings, self._key, self._ledger = openai, settings, key, ledger
        self._gate, self._settled, self._under_way = Gate(), asyncio.Condition(), 0
        self._given_up, self.fatal = 0, ""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._hide)
        # The client's own retries would be sent without a reservation.
        self.client = openai.AsyncOpenAI(
            api_key=key.reveal(),
            base_url=address,
            max_retries=0,
            timeout=openai.Timeout(settings.timeout_seconds, connect=min(settings.timeout_seconds, 20.0)),
        )

    async def close(self) -> None:
        """Close the client's connections."""
        await self.client.close()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._hide)

    async def exchange(
        self,
        send: Callable[[], Awaitable[Any]],
        most_usd: float,
        receive: Callable[[Any], tuple[Result, Usage]],
        keep: Callable[[Result], None],
    ) -> Result:
        """Send until there is an answer; it is kept before it is booked, and both before this returns.

        send: one raw request. receive: the parsed body to a result and what it took; raises Unusable. keep: stores
        the result. Raises: Stopped, GivenUp.
        """
        sent, refused, since = 0, 0, time.monotonic()
        while True:
            await self._gate.passed()
            reservation = await self._reserve(most_usd)
            certain, possible = 0.0, 0.0
            try:
                # Until something else is known, it may have been charged: also where this task is cancelled.
                possible = most_usd
                result, usage = receive(await self._body(send))
                keep(result)
                certain, possible = usage.cost_usd, usage.possible_usd
                self._given_up = 0
                return result
            except self._openai.APIStatusError as error:
                possible = 0.0
                status, reason, wait = (
                    error.status_code,
                    self._status_reason(error),
                    retry_after(error.response.headers),
                )
                self._stop_if_hopeless(error, reason)
            except (self._openai.APIConnectionError, TimeoutError, Unusable) as error:
                status, reason, wait = 0, self._trouble(error), None
                possible = 0.0 if _never_left(error) else most_usd
            finally:
                self._ledger.settle(reservation, certain, possible)
                await self._one_less()
            sent, refused = sent + 1, refused + (status == 429)
            asked_to_wait = wait is not None
            if wait is None:
                wait = backoff(sent, self._settings.first_wait_seconds, self._settings.longest_wait_seconds)
            self._close_gate(wait if asked_to_wait else 0.0, reason)
            if status and status not in _REPEATED and status < 500:
                raise self._give_up(reason, status)
            impatient = status == 429 and time.monotonic() - since + wait > self._settings.patience_seconds
            if sent - refused >= self._settings.max_attempts or impatient or self.fatal:
                raise self._give_up(reason, status)
            await asyncio.sleep(wait)

    async def _body(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """The parsed body of one answer. The time is for all of it: a server that drips is given up, too."""
        async with asyncio.timeout(self._settings.timeout_seconds):
            response = await send()
            text = response.text
        try:
            return json.loads(self._key.hidden_in_answer(text))
        except (ValueError, RecursionError):
            raise Unusable(f"the body is no JSON: {_short(self._key.hidden(text))!r}") from None

    async def _reserve(self, usd: float) -> int:
        """A reservation. Where the bound is in the way, the end of what is under way is awaited: it may cost less."""
        async with self._settled:
            while True:
                if self.fatal:
                    raise Stopped(self.fatal)
                reservation = self._ledger.reserve(usd)
                if reservation is not None:
                    self._under_way += 1
                    return reservation
                if not self._under_way:
                    raise Stopped(self._ledger.bound())
                await self._settled.wait()

    async def _one_less(self) -> None:
        async with self._settled:
            self._under_way -= 1
            self._settled.notify_all()

    def _stop_if_hopeless(self, error: Any, reason: str) -> None:
        """No other request would fare better: no right to ask, no such model, no money left."""
        status = error.status_code
        if status in _HOPELESS:
            self.fatal = f"{self._address()}: {_HOPELESS[status]}: {reason}"
        elif status == 429 and getattr(error, "code", None) == "insufficient_quota":
            self.fatal = f"{self._address()}: the account has nothing left: {reason}"
        if self.fatal:
            raise Stopped(self.fatal) from None

    def _close_gate(self, seconds: float, reason: str) -> None:
        """Nobody asks before the server wants to be asked; who is told to come tomorrow stops today."""
        if seconds > self._settings.patience_seconds:
            self.fatal = self.fatal or f"{self._address()}: asks to wait {seconds:.0f} s: {reason}"
        else:
            self._gate.close_for(seconds)

    def _give_up(self, reason: str, status: int) -> GivenUp:
        self._given_up += 1
        if self._given_up >= self._settings.give_up_after and not self.fatal:
            self.fatal = f"{self._address()}: {self._given_up} requests in a row had no answer; the last: {reason}"
        return GivenUp(reason, status)

    def _address(self) -> str:
        return self._key.hidden(str(self.client.base_url))

    def _status_reason(self, error: Any) -> str:
        return f"status {error.status_code}: {_short(self._key.hidden(str(error.message)))}"

    def _trouble(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError | self._openai.APITimeoutError):
            return f"no whole answer within {self._settings.timeout_seconds:g} s"
        cause = error.__cause__ or error
        return _short(self._key.hidden(f"{type(cause).__name__}: {cause}" if cause is not error else str(error)))

    def _hide(self, record: logging.LogRecord) -> bool:
        """The client's own log, where somebody has turned it on, shows no key either: servers repeat it in answers."""
        message = record.getMessage()
        hidden = self._key.hidden(message)
        if hidden != message:
            record.msg, record.args = hidden, None
        if record.exc_info:
            record.exc_info, record.exc_text = None, None
        return True


def user_error(fatal: str) -> UserError:
    """What ends a run, as the user is told it."""
    return UserError(f"openai: {fatal}")


def _never_left(error: BaseException) -> bool:
    """Whether there was no connection at all: nothing can have been charged."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"
