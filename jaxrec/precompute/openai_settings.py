"""What a user says about a hosted model: where it is, how hard it is asked, and what it may cost."""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse
from typing import Literal

from jaxrec.errors import UserError

ADDRESS_VARIABLE = "OPENAI_BASE_URL"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LEAST_SECRET_CHARS = 12
"""What is shorter is no key but the word that stands for one where the server asks for none."""


@dataclasses.dataclass(frozen=True)
class OpenAISettings:
    """An address that speaks the OpenAI protocol. The key is in none of this: it is read from the environment."""

    model: str = "gpt-4o-mini"
    """The chat model."""
    embedding_model: str = "text-embedding-3-large"
    """The model that turns texts into vectors."""
    base_url: str | None = None
    """Such as http://localhost:8000/v1; None: $OPENAI_BASE_URL, else OpenAI's own."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    concurrency: int = 16
    """Requests under way at once."""
    timeout_seconds: float = 120.0
    """An answer that is not whole after this long is given up."""
    max_attempts: int = 8
    """A request is sent at most so often; refusals for a rate limit do not count."""
    first_wait_seconds: float = 1.0
    """Before the second attempt, where the server names no time; doubled each time, with a random part."""
    longest_wait_seconds: float = 60.0
    """The waits stop growing here."""
    patience_seconds: float = 900.0
    """A request that meets rate limits is given up after this long; a server that asks to wait longer ends the run."""
    give_up_after: int = 20
    """So many requests given up one after the other, with no answer between, end the run."""
    token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The name under which the server knows the most tokens of an answer; reasoning models know the second alone."""
    structured: bool = True
    """Send the schema as response_format; False for servers that refuse it. Answers are checked either way."""
    sampling: bool = True
    """Send temperature and seed; False for reasoning models, which refuse them."""
    prices: str | None = None
    """TOML file of prices a million tokens; None: the one shipped."""
    max_usd: float | None = None
    """What a job may cost over all its runs; no request leaves that could pass it."""
    max_requests: int | None = None
    """How many requests a job may send over all its runs, repeated attempts included."""

    def validate(self, prefix: str = "openai") -> None:
        """Raise UserError where a field is out of its range."""
        for name in ("concurrency", "max_attempts", "give_up_after"):
            if getattr(self, name) < 1:
                raise UserError(f"{prefix}.{name}: {getattr(self, name)}; allowed: at least 1")
        for name in ("timeout_seconds", "first_wait_seconds", "longest_wait_seconds", "patience_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"{prefix}.{name}: {getattr(self, name)}; allowed: above 0")
        for name in ("max_usd", "max_requests"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"{prefix}.{name}: {value}; allowed: at least 0, or None for no bound")
        if self.token_field not in ("max_tokens", "max_completion_tokens"):
            raise UserError(f"{prefix}.token_field: {self.token_field!r}; allowed: max_tokens, max_completion_tokens")
        if not _VARIABLE.fullmatch(self.key_variable):
            # Not shown: whoever mistakes this field puts the key itself here.
            raise UserError(
                f"{prefix}.key_variable: found something else (not shown, in case it is a key), allowed: the name of "
                "an environment variable, such as OPENAI_API_KEY"
            )
        if self.base_url is not None:
            _check_address(self.base_url, f"{prefix}.base_url")

    def address(self) -> str | None:
        """Where the server is; None for the client's own default. Raises: UserError where it holds a secret."""
        if self.base_url is not None:
            return self.base_url
        address = os.environ.get(ADDRESS_VARIABLE, "").strip()
        if address:
            _check_address(address, ADDRESS_VARIABLE)
        return address or None


def _check_address(address: str, where: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError as error:
        raise UserError(f"{where}: no address ({error}); allowed: http:// or https://") from None
    if parts.username is not None or parts.password is not None or parts.query:
        # Not shown: what stands there may be a secret.
        raise UserError(f"{where}: holds a user, a password or a query; keys come from their own variable alone")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"{where}: {address!r}; allowed: an address that begins with http:// or https://")


class Key:
    """A key, which no text shows by accident and which `hidden` takes out of any text."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the client alone."""
        return self._value

    def hidden(self, text: str) -> str:
        """The text with a mark wherever the key stood."""
        return text.replace(self._value, "[key]")

    def hidden_in_answer(self, text: str) -> str:
        """The same for what a server answers; a word that stands for a key is left there, since texts hold words."""
        return self.hidden(text) if len(self._value) >= _LEAST_SECRET_CHARS else text

    def __repr__(self) -> str:
        return "Key([key])"


def read_key(variable: str) -> Key:
    """The key out of the environment. Raises: UserError where there is none or it can be none."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(
            f"{variable}: not set in the environment; allowed: the key of the server (any word, if it asks for none)"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UserError(f"{variable}: its value is no key: only printable ASCII without spaces is allowed")
    return Key(value)
