"""Requests answered by a language model on this machine's own devices, out of a folder or a GGUF file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from jaxrec.errors import UserError
from jaxrec.llm.chat import chat_prompt
from jaxrec.llm.checkpoint import checkpoint_sha256, read_checkpoint
from jaxrec.llm.config import DecoderConfig, read_config
from jaxrec.llm.decoder import unstack
from jaxrec.llm.generate import Answer, Generator, Prompt
from jaxrec.llm.gguf_tokenizer import gguf_tokenizer
from jaxrec.llm.gguf_weights import GGUFFile, gguf_config
from jaxrec.llm.grammar import Grammar, JsonMask
from jaxrec.llm.sharding import place
from jaxrec.llm.tokenizer import Tokenizer, read_tokenizer
from jaxrec.precompute.local_settings import LocalSettings
from jaxrec.precompute.requests import Failure, Plan, Reply, Request
from jaxrec.precompute.schema_sketch import sketch

_BATCHES_AT_ONCE = 8
"""So many batches are sorted into shapes together; each has its masks in memory."""


class _Reader(NamedTuple):
    """What prompts are made with, without the weights."""

    config: DecoderConfig
    tokenizer: Tokenizer


class LocalBackend:
    """A local chat model; its weights are read when it is first asked.

    Answers to requests with a schema always parse, and end within max_tokens unless the least answer needs more.
    model: the checkpoint's name, a digest of its content, the dtype, int8 weights, and what is not repeated.
    Raises: UserError without a checkpoint.
    """

    name = "local"
    cacheable = True

    def __init__(self, settings: LocalSettings) -> None:
        settings.validate()
        if settings.checkpoint is None:
            raise UserError("local.checkpoint: not given; allowed: a folder with safetensors, or a .gguf file")
        self._settings = settings
        self._path = Path(settings.checkpoint).expanduser()

    @property
    def model(self) -> str:
        """See the class."""
        return self._model

    def ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None]) -> None:
        """See Backend. Raises: UserError for a checkpoint that cannot be read."""
        prompts: list[tuple[Request, list[int]]] = []
        for request in requests:
            tokens = self._tokens(request)
            room = self._reader.config.max_positions - len(tokens)
            if room >= 1:
                prompts.append((request, tokens))
                continue
            reason = f"the prompt has {len(tokens)} tokens, the model takes {self._reader.config.max_positions}"
            on_result(Failure(request.key, reason, "missing"))
        # Prompts of one length together: fewer shapes are compiled, and less of a batch is padding.
        prompts.sort(key=lambda prompt: len(prompt[1]))
        at_once = _BATCHES_AT_ONCE * self._settings.batch_size
        for start in range(0, len(prompts), at_once):
            some = prompts[start : start + at_once]
            for index, answer in self._generator.each([self._prompt(*one) for one in some]):
                on_result(self._reply(*some[index], answer))

    def plan(self, requests: Sequence[Request]) -> Plan:
        """See Backend; prompts are counted by the model's own tokenizer, answers as OpenAIBackend.plan does.

        How long they take depends on this machine: nobody knows before some are answered.
        """
        completions = (
            request.max_tokens // 2 if request.expected_tokens is None else request.expected_tokens
            for request in requests
        )
        return Plan(
            requests=len(requests),
            prompt_tokens=sum(len(self._tokens(request)) for request in requests),
            completion_tokens=sum(completions),
            untimed=bool(requests),
        )

    def _tokens(self, request: Request) -> list[int]:
        messages = [(message.role, message.content) for message in request.messages]
        if request.schema is not None:
            messages = _with_form(messages, sketch(request.schema))
        return chat_prompt(self._reader.tokenizer, messages)

    def _prompt(self, request: Request, tokens: list[int]) -> Prompt:
        max_tokens = min(request.max_tokens, self._reader.config.max_positions - len(tokens))
        return Prompt(
            tokens,
            max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            # What is drawn depends on the question, and not on what else is asked.
            request=int(request.hash(self.model)[:8], 16),
            mask=self._mask(request, max_tokens),
        )

    def _mask(self, request: Request, max_tokens: int) -> JsonMask | None:
        if request.schema is None:
            return None
        return self._grammar.mask(request.schema, max_tokens, self._settings.no_repeat)

    def _reply(self, request: Request, tokens: list[int], answer: Answer) -> Reply:
        free = request.schema is None
        text = self._reader.tokenizer.decode(answer.tokens) if free else self._grammar.text(answer.tokens)
        return Reply(
            request.key,
            text,
            prompt_tokens=len(tokens),
            completion_tokens=len(answer.tokens),
            problem=None if answer.stopped else "the answer was cut at its most tokens",
        )

    @cached_property
    def _model(self) -> str:
        model = (
            f"{self._path.resolve().name}@{checkpoint_sha256(self._path, 'local.checkpoint')} {self._settings.dtype}"
        )
        if self._settings.weights != "plain":
            model = f"{model} {self._settings.weights}"
        return f"{model} no-repeat-{self._settings.no_repeat}" if self._settings.no_repeat else model

    @cached_property
    def _reader(self) -> _Reader:
        if self._path.is_file():
            file = GGUFFile(self._path)
            return _Reader(gguf_config(file, self._settings.dtype), gguf_tokenizer(file))
        return _Reader(read_config(self._path / "config.json", self._settings.dtype), read_tokenizer(self._path))

    @cached_property
    def _grammar(self) -> Grammar:
        return Grammar(self._reader.tokenizer, self._reader.config.vocab_size)

    @cached_property
    def _generator(self) -> Generator:
        read = read_checkpoint(self._path, self._settings.dtype, self._settings.weights)
        # Plain layers one after the other: a step is faster than with stacked ones. For eight bits it is not.
        params = unstack(read.params) if self._settings.weights == "plain" else read.params
        params = place(params, read.config, None)
        return Generator(params, read.config, read.tokenizer.stop_tokens, self._settings.batch_size)


def _with_form(messages: list[tuple[str, str]], form: str) -> list[tuple[str, str]]:
    """The messages with the form at the end of the system's first, the one that every template knows; else before."""
    told = f"Answer with one JSON value of this form: {form}"
    if messages and messages[0][0] == "system":
        return [("system", f"{messages[0][1]}\n\n{told}"), *messages[1:]]
    return [("system", told), *messages]
