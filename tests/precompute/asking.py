"""Requests that the tests ask, and what a right answer to them is."""

from __future__ import annotations

from jaxrec.precompute.requests import Message, Request
from tests.precompute.misbehaving_server import told

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "minLength": 1}},
    "required": ["answer"],
    "additionalProperties": False,
}


def request(key: object, text: str | None = None, **changes) -> Request:
    messages = (Message("system", "You answer."), Message("user", text or f"What is {key}?"))
    given = {"prompt_version": "1", "schema": SCHEMA, "max_tokens": 64}
    return Request(str(key), "test", messages, **(given | changes))


def requests(count: int, **changes) -> list[Request]:
    return [request(number, **changes) for number in range(count)]


def right(asked: Request) -> dict:
    return {"answer": told([{"role": m.role, "content": m.content} for m in asked.messages])}
