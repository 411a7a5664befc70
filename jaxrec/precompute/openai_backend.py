"""Requests answered by a model behind an address that speaks the OpenAI protocol."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxrec.errors import UserError
from jaxrec.precompute.database import MEMORY
from jaxrec.precompute.ledger import Ledger, Spent
from jaxrec.precompute.openai_connection import Connection, GivenUp, Stopped, Unusable, Usage, user_error
from jaxrec.precompute.openai_settings import OpenAISettings, read_key
from jaxrec.precompute.prices import Price, read_price
from jaxrec.precompute.requests import Failure, Message, Plan, Reply, Request
from jaxrec.precompute.schema import hosted_schema
from jaxrec.precompute.token_counts import estimated_prompt_tokens, estimated_tokens, most_prompt_tokens, most_tokens

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FIRST_TOKEN_SECONDS, _TOKENS_A_SECOND = 0.7, 80.0
"""What GPT-4o-mini shows on an ordinary day; for the plan alone."""
_SPARE_TOKENS = 8
"""An answer's tokens that its text does not show, such as the end of the turn."""


class OpenAIBackend:
    """A hosted chat model, or any server that speaks its protocol.

    ledger_path: the cache file, where what the job costs is written down; MEMORY bounds this run alone. job: the name
    under which runs share max_usd and max_requests.
    """

    name = "openai"
    cacheable = True

    def __init__(self, settings: OpenAISettings, ledger_path: str | Path = MEMORY, job: str = "precompute") -> None:
        settings.validate()
        self.model = settings.model
        self._settings = settings
        self._price = bounded_price(settings.model, settings)
        self._ledger = Ledger(ledger_path, job, settings.max_usd, settings.max_requests)

    def ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None]) -> None:
        """See Backend. Raises: UserError without a key, and once all others have ended where the server refuses all."""
        key = read_key(self._settings.key_variable)
        fatal = asyncio.run(self._ask(requests, on_result, key))
        if fatal:
            raise user_error(fatal)

    def plan(self, requests: Sequence[Request]) -> Plan:
        """See Backend; answers without expected_tokens are taken to have half of what they may."""
        prompt = sum(map(estimated_prompt_tokens, requests))
        completions = [
            request.max_tokens // 2 if request.expected_tokens is None else request.expected_tokens
            for request in requests
        ]
        waiting = len(requests) * _FIRST_TOKEN_SECONDS + sum(completions) / _TOKENS_A_SECOND
        return Plan(
            requests=len(requests),
            prompt_tokens=prompt,
            completion_tokens=sum(completions),
            cost_usd=self._price.cost(prompt, sum(completions)),
            seconds=waiting / max(1, min(self._settings.concurrency, len(requests))),
            notes=() if self._price.known else (f"no price of {self.model} is known: its cost counts as 0",),
        )

    def spent(self) -> Spent:
        """What the job has cost, over all its runs."""
        return self._ledger.spent()

    def close(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    async def _ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None], key) -> str:
        connection = Connection(self._settings, key, self._ledger)
        waiting = iter(requests)

        async def work() -> None:
            for request in waiting:
                try:
                    await connection.exchange(
                        lambda request=request: self._send(connection, request),
                        self._price.cost(most_prompt_tokens(self._sent(request)), request.max_tokens),
                        lambda body, request=request: self._receive(request, body),
                        on_result,
                    )
                except Stopped as stop:
                    on_result(Failure(request.key, str(stop), "stopped"))
                except GivenUp as end:
                    on_result(Failure(request.key, str(end)))

        try:
            await asyncio.gather(*(work() for _ in range(min(self._settings.concurrency, len(requests)))))
        finally:
            await connection.close()
        return connection.fatal

    def _send(self, connection: Connection, request: Request) -> Any:
        request = self._sent(request)
        # Half a surrogate pair has no UTF-8; what users wrote is cleaned long before, this is for what was not.
        messages = [
            {"role": m.role, "content": m.content.encode("utf-8", "replace").decode()} for m in request.messages
        ]
        body: dict[str, Any] = {"model": self.model, "messages": messages}
        body[self._settings.token_field] = request.max_tokens
        if self._settings.sampling:
            body |= {"temperature": request.temperature, "seed": request.seed}
        if request.schema is not None and self._settings.structured:
            if not _NAME.fullmatch(request.schema_name):
                raise ValueError(f"schema_name {request.schema_name!r}; allowed: letters, digits, _ and -, at most 64")
            described = {"name": request.schema_name, "schema": hosted_schema(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        return connection.client.chat.completions.with_raw_response.create(**body)

    def _sent(self, request: Request) -> Request:
        """The request as the server sees it: one that knows no response_format reads the schema in a message."""
        if request.schema is None or self._settings.structured:
            return request
        return with_schema_told(request)

    def _receive(self, request: Request, body: Any) -> tuple[Reply, Usage]:
        text, problem = read_choice(body)
        most_prompt = most_prompt_tokens(self._sent(request))
        counts = believable_usage(body, text, most_prompt, request.max_tokens)
        if counts is not None:
            cost = self._price.cost(*counts)
            return Reply(request.key, text, *counts, cost_usd=cost, problem=problem), Usage(cost)
        counts = estimated_prompt_tokens(self._sent(request)), min(estimated_tokens(text), request.max_tokens)
        cost = self._price.cost(*counts)
        most = self._price.cost(most_prompt, min(most_tokens(text) + _SPARE_TOKENS, request.max_tokens))
        reply = Reply(request.key, text, *counts, cost_usd=cost, estimated=True, problem=problem)
        return reply, Usage(cost, max(0.0, most - cost))


def with_schema_told(request: Request) -> Request:
    """The request with its schema in a last message of the system instead of beside the messages."""
    told = Message("system", f"Answer with one JSON value that fits this schema: {json.dumps(request.schema)}")
    return dataclasses.replace(request, messages=(*request.messages, told))


def bounded_price(model: str, settings: OpenAISettings) -> Price:
    """The price of a model. Raises: UserError where a bound in dollars cannot be kept because it is not known."""
    price = read_price(model, settings.prices)
    if not price.known and settings.max_usd is not None:
        table = settings.prices or "the price table"
        raise UserError(f"openai.max_usd: no price of {model!r} in {table}; name a file with it in openai.prices")
    return price


def read_choice(body: Any) -> tuple[str, str | None]:
    """The text of the first choice, and why it is no answer, if so. Raises: Unusable where there is none."""
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Unusable("the answer holds no choice")
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, str | None):
        raise Unusable("the answer's first choice holds no text")
    refusal, finish = message.get("refusal"), choices[0].get("finish_reason")
    if isinstance(refusal, str) and refusal:
        return content or refusal, "the model refused"
    if finish == "content_filter":
        return content or "", "the server's filter held it back"
    if finish == "length":
        return content or "", "the answer was cut at its most tokens"
    return content or "", None


def believable_usage(body: Any, text: str, most_prompt: int, most_completion: int) -> tuple[int, int] | None:
    """Tokens of prompt and completion as the server counts them; None where that cannot be true."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int:
        return None
    if not 1 <= prompt <= most_prompt or not (1 if text else 0) <= completion <= most_completion:
        return None
    return prompt, completion
