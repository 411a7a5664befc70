"""One more request for an answer that does not fit: the same conversation, the answer, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from jaxrec.precompute.requests import Message, Reply, Request
from jaxrec.precompute.schema import InvalidAnswer, parse_answer

STEP_SUFFIX = ":repair"
_SHOWN_CHARS = 4000


def checked_value(request: Request, reply: Reply) -> Any:
    """The value of a reply that fits its request. Raises: InvalidAnswer."""
    if reply.problem is not None:
        raise InvalidAnswer(reply.problem)
    return parse_answer(reply.text, request.schema)


def repair_request(request: Request, reply: Reply, error: InvalidAnswer) -> Request:
    """What is asked after a reply that does not fit; the same for the same reply, so that the cache finds it again."""
    text = reply.text if len(reply.text) <= _SHOWN_CHARS else reply.text[:_SHOWN_CHARS] + "…"
    needed = "one JSON value that fits the schema, and nothing else" if request.schema is not None else "plain text"
    # The error names parts of the answer, which a user's text may have shaped: it travels as one JSON string.
    asked = f"This answer cannot be used. The error: {json.dumps(str(error))}. Answer again with {needed}."
    messages = (*request.messages, Message("assistant", text or "(empty)"), Message("user", asked))
    return dataclasses.replace(request, messages=messages, step=request.step + STEP_SUFFIX)
