"""What the steps ask and what the backends answer: the contract between the two.

A step makes `Request`s and gives them to `jaxrec.precompute.runner.Runner`. The runner looks into the cache, asks a
`Backend` for the rest, checks each reply against the request's schema, has it repaired once, and hands back one
`Answer` or `Failure` a request. Backends know neither cache nor schema errors: they turn requests into replies.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

ROLES = ("system", "user", "assistant")


@dataclasses.dataclass(frozen=True)
class Message:
    """One turn of a conversation. role: one of ROLES."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role {self.role!r}; allowed: {', '.join(ROLES)}")


@dataclasses.dataclass(frozen=True)
class Request:
    """One question to a language model.

    key: names the request within its step, such as an item id; unique in one call. step: names the step, such as
    "item_motivations"; the rules backend finds its function by it. schema: the JSON schema that the answer has to
    fit (see jaxrec.precompute.schema for what it may hold), None for plain text. prompt_version: of the prompt file
    and the schema together; a new one asks anew. max_tokens: the most that the answer may have. expected_tokens:
    what it will probably have, for the plan. facts: what a rule reads instead of the prompt; no model sees them.
    """

    key: str
    step: str
    messages: tuple[Message, ...]
    prompt_version: str
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    expected_tokens: int | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def hash(self, model: str) -> str:
        """SHA-256 of all that the answer depends on: model, parameters, messages, schema and prompt version.

        Neither key nor step is part of it: the same question of two users is asked once.
        """
        return _digest(
            {
                "kind": "chat",
                "model": model,
                "messages": [[message.role, message.content] for message in self.messages],
                "schema": self.schema,
                "prompt_version": self.prompt_version,
                "max_tokens": self.max_tokens,
                "temperature": float(self.temperature),
                "seed": self.seed,
            }
        )


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a backend hands back for a request: unchecked text and what it took.

    problem: why the text is no answer although it came (refused, cut at max_tokens). estimated: the token counts are
    ours, because the server gave none that can be true.
    """

    key: str
    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """A checked answer. value: the parsed object that fits the schema, None for plain text.

    Tokens and cost are those of all that was asked for it, a repair included, also when it came out of the cache.
    """

    key: str
    text: str
    value: Any
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    cached: bool


@dataclasses.dataclass(frozen=True)
class Failure:
    """A request without an answer.

    kind: "missing" (answered, but neither the answer nor its repair fits: asking again changes nothing), "failed"
    (never answered; a later run asks again), "stopped" (not asked: a bound of spending was reached).
    """

    key: str
    reason: str
    kind: Literal["missing", "failed", "stopped"] = "failed"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What asking would take. The first figures are of what is not cached, the `cached_` ones of what is.

    requests counts both; cost in US dollars; seconds at the backend's speed. untimed: some of it takes time that
    nobody knows, which seconds does not count.
    """

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    cached_prompt_tokens: int = 0
    cached_completion_tokens: int = 0
    cached_cost_usd: float = 0.0
    seconds: float = 0.0
    untimed: bool = False
    notes: tuple[str, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        """Two plans one after the other; a note that both have stands once."""
        mine, theirs = (dataclasses.asdict(plan) for plan in (self, other))
        notes = tuple(dict.fromkeys((*mine.pop("notes"), *theirs.pop("notes"))))
        untimed = mine.pop("untimed") or theirs.pop("untimed")
        return Plan(**{name: mine[name] + theirs[name] for name in mine}, untimed=untimed, notes=notes)


@dataclasses.dataclass(frozen=True)
class EmbeddingRequest:
    """One text to be turned into a vector. width: numbers a vector, None for as many as the model gives."""

    key: str
    text: str
    width: int | None = None

    def hash(self, model: str) -> str:
        """SHA-256 of model, width and text."""
        return _digest({"kind": "embedding", "model": model, "width": self.width, "text": self.text})


@dataclasses.dataclass(frozen=True)
class Vector:
    """The vector [width] float32 of one text, and what it took."""

    key: str
    values: np.ndarray
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    estimated: bool = False
    cached: bool = False


class Backend(Protocol):
    """Who answers requests.

    name: "openai", "local", "rules" or "replay". model: enters the hash of every request, so it has to tell two
    models apart that answer differently (a local one: with a digest of its weights). cacheable: whether replies are
    worth keeping.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def model(self) -> str:
        """See the class."""
        ...

    @property
    def cacheable(self) -> bool:
        """See the class."""
        ...

    def ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None]) -> None:
        """Call on_result once for each request, in any order, each as soon as it is there.

        What on_result was called with is kept, whatever happens afterwards. One request's trouble is a Failure;
        UserError is for what stops all of them (no key, no such model).
        """
        ...

    def plan(self, requests: Sequence[Request]) -> Plan:
        """What asking all of these would take; asks nothing."""
        ...


class EmbeddingBackend(Protocol):
    """Who turns texts into vectors; name, model and cacheable as of Backend."""

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def model(self) -> str:
        """See the class."""
        ...

    @property
    def cacheable(self) -> bool:
        """See the class."""
        ...

    def embed(
        self, requests: Sequence[EmbeddingRequest], on_results: Callable[[Sequence[Vector | Failure]], None]
    ) -> None:
        """Call on_results with batches, each as soon as it is there; each request is in one of them, in any order."""
        ...

    def plan(self, requests: Sequence[EmbeddingRequest]) -> Plan:
        """What asking all of these would take; asks nothing."""
        ...


def _digest(parts: dict[str, Any]) -> str:
    """SHA-256 of JSON in one spelling; lone surrogates are kept apart by their escapes."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
