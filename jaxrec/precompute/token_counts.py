"""How many tokens a text has, without the tokenizer of the model that will count them: a bound and an estimate."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from jaxrec.precompute.requests import Message, Request

_MESSAGE_TOKENS, _FRAME_TOKENS = 4, 3
"""What a chat template adds to each message and to the whole, in the templates of GPT-4o and its like."""
_MOST_MESSAGE_TOKENS, _MOST_FRAME_TOKENS = 16, 64
# Tokenizers of today split text much like this before they look for pieces: words with the space before them, numbers
# of up to three digits, runs of signs, runs of white space.
_PIECES = re.compile(r"(?P<word> ?[^\W\d_]+)|(?P<number>\d{1,3})|(?P<sign> ?[^\s\w]+|_+)|(?P<space>\s+)")
_LETTERS_A_TOKEN = 7
_OTHER_SCRIPT_BYTES_A_TOKEN = 4


def most_tokens(text: str) -> int:
    """No byte-level tokenizer makes more tokens of a text than it has bytes of UTF-8."""
    return len(text.encode("utf-8", "replace"))


def estimated_tokens(text: str) -> int:
    """About as many as GPT-4o counts: a word of up to seven letters is one, a sign or two is one."""
    count = 0
    for piece in _PIECES.finditer(text):
        found = piece[0]
        if piece.lastgroup == "word" and not found.isascii():
            count += -(-len(found.encode("utf-8", "replace")) // _OTHER_SCRIPT_BYTES_A_TOKEN)
        elif piece.lastgroup == "word":
            count += 1 + (len(found.strip()) - 1) // _LETTERS_A_TOKEN
        elif piece.lastgroup == "sign":
            count += -(-len(found.strip()) // 2)
        elif piece.lastgroup == "number" or "\n" in found or len(found) > 1:
            count += 1
    return count


def most_prompt_tokens(request: Request) -> int:
    """More than any server may count for the messages and the schema of a request."""
    return _prompt_parts(request.messages, request, most_tokens, _MOST_MESSAGE_TOKENS, _MOST_FRAME_TOKENS)


def estimated_prompt_tokens(request: Request) -> int:
    """About what a server will count for the messages and the schema of a request."""
    return _prompt_parts(request.messages, request, estimated_tokens, _MESSAGE_TOKENS, _FRAME_TOKENS)


def _prompt_parts(messages: Sequence[Message], request: Request, count, each: int, frame: int) -> int:
    schema = json.dumps(request.schema) + request.schema_name if request.schema is not None else ""
    return sum(count(message.content) + each for message in messages) + count(schema) + frame
