"""Prompts and answers as tokens, each item by the same ones wherever it stands, and histories cut to a budget.

A prompt is put together from the tokens of its pieces. So an item to be chosen has in the answer the tokens that it
has in the candidate list, whatever a tokenizer would have joined with the signs around it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.errors import UserError
from jaxrec.llm.tokenizer import Tokenizer
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.ranker.examples import Example, prompt_of, sentiment_text
from jaxrec.ranker.names import ItemTexts
from jaxrec.ranker.prompt_text import SEPARATOR, check_prompt, template_of

_CUE = ":"
"""What stands before the first item of every list; what follows a separator is said the same way."""


@dataclasses.dataclass(frozen=True)
class Encoded:
    """prompt: tokens up to where the answer begins. answer: those to learn, the stop token last; () without one.

    cut: items of the history, the oldest, that the budget left out.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    cut: int


def prompt_words(config: PromptConfig, texts: ItemTexts, keywords: Iterable[str] = ()) -> list[str]:
    """All that prompts and answers can hold, for a tokenizer that is made for them. keywords: those of PALR."""
    template = template_of(config)
    sentiments = map(sentiment_text, range(len(SENTIMENTS))) if config.sentiment else ()
    said = () if texts.new_tokens else texts.texts
    return [*template.words, config.category, SEPARATOR, *sentiments, *keywords, *said]


class PromptTokens:
    """The tokens of examples under one tokenizer.

    Raises: UserError where the tokenizer names no stop token, or lacks tokens that items are to be said by.
    """

    def __init__(self, tokenizer: Tokenizer, texts: ItemTexts, config: PromptConfig) -> None:
        self.tokenizer, self._texts, self._config = tokenizer, texts, config
        self._template = template_of(config)
        self._cue = tuple(tokenizer.encode(_CUE))
        self._said: dict[str, tuple[int, ...]] = {}
        self._items: dict[tuple[int, ...], int] = {}
        if not tokenizer.stop_tokens:
            raise UserError(f"{tokenizer.source}: no token that ends an answer; eos_token is needed")
        for token in texts.new_tokens:
            # With the blank before it, or without.
            if all(tokenizer.inner.token_to_id(text) is None for text in (f" {token}", token)):
                raise UserError(f"{tokenizer.source}: no token {token}; prompt.items new_tokens needs one an item")
        self.end = tokenizer.stop_tokens[0]
        self.separator = self._behind(SEPARATOR, "a")
        self._words = self._template_tokens()

    def item(self, item: int) -> tuple[int, ...]:
        """What says an item behind the cue of a list, and behind a separator.

        Raises: IndexError where there is no such item; UserError where the tokenizer cannot tell two items apart.
        """
        if item < 0:
            raise IndexError(f"item {item}; at least 0")
        tokens = self._value(self._texts.texts[item])
        other = self._items.setdefault(tokens, item)
        if other != item:
            found = f"{self._texts.texts[other]!r} and {self._texts.texts[item]!r}"
            raise UserError(f"{self.tokenizer.source}: the items {found} have the same tokens; other names are needed")
        return tokens

    def encode(self, example: Example) -> Encoded:
        """The history loses its oldest items, whole and with their sentiments, until the prompt has at most
        config.max_tokens tokens; the answer does not count.

        Raises: UserError where the rest of the prompt alone has more.
        """
        prompt = prompt_of(example, self._texts, self._config)
        check_prompt(self._template, prompt)
        values = {
            "history": [self.item(item) for item in example.history],
            "candidates": [self.item(item) for item in example.candidates],
            "sentiments": [self._value(text) for text in prompt.sentiments],
            "preference": [self._value(text) for text in prompt.preference],
        }
        rest = sum(map(len, self._words)) + self._length(values["candidates"]) + self._length(values["preference"])
        most = self._config.max_tokens
        if rest > most:
            raise UserError(
                f"prompt.max_tokens: found {most}, but a prompt of {len(example.candidates)} candidates without any "
                f"history has {rest} tokens; allowed: {rest} or more, or fewer candidates"
            )
        kept = self._fitting(values["history"], values["sentiments"], most - rest)
        for field in ("history", "sentiments"):
            values[field] = values[field][len(values[field]) - min(kept, len(values[field])) :]
        lists = [field for field in self._template.fields if field in values]
        tokens = [*self._words[0]]
        for field, words in zip(lists, self._words[1:], strict=True):
            tokens += [*self._joined(values[field]), *words]
        answer: list[int] = []
        if example.answer:
            answer = [*self._joined([self.item(item) for item in example.answer]), self.end]
        return Encoded(tuple(tokens), tuple(answer), len(example.history) - kept)

    def _fitting(self, history: Sequence[tuple[int, ...]], sentiments: Sequence[tuple[int, ...]], budget: int) -> int:
        """How many of the latest items fit."""
        used, between = 0, len(self.separator)
        for kept, place in enumerate(reversed(range(len(history)))):
            used += len(history[place]) + (between if kept else 0)
            if sentiments:
                used += len(sentiments[place]) + (between if kept else 0)
            if used > budget:
                return kept
        return len(history)

    def _joined(self, values: Sequence[tuple[int, ...]]) -> list[int]:
        spaced = [(*(self.separator if place else ()), *value) for place, value in enumerate(values)]
        return list(itertools.chain.from_iterable(spaced))

    def _length(self, values: Sequence[tuple[int, ...]]) -> int:
        return sum(map(len, values)) + len(self.separator) * max(len(values) - 1, 0)

    def _value(self, text: str) -> tuple[int, ...]:
        if text not in self._said:
            self._said[text] = self._behind(f" {text}", _CUE)
        return self._said[text]

    def _behind(self, text: str, before: str) -> tuple[int, ...]:
        """The tokens that a text adds behind another; on its own a tokenizer may begin it otherwise."""
        first = self._cue if before == _CUE else tuple(self.tokenizer.encode(before))
        both = tuple(self.tokenizer.encode(before + text))
        return both[len(first) :] if both[: len(first)] == first else tuple(self.tokenizer.encode(text))

    def _template_tokens(self) -> list[tuple[int, ...]]:
        """The words before, between and behind the lists; single values are of them."""
        template, texts = self._template, [self._template.words[0]]
        single = {"category": self._config.category}
        for field, words in zip(template.fields, template.words[1:], strict=True):
            if field in single:
                texts[-1] += single[field] + words
            else:
                # Each value brings the blank before it.
                texts[-1] = texts[-1].removesuffix(" ")
                texts.append(words)
        first = tuple(self.tokenizer.encode(texts[0], special_tokens=True))
        return [first, *(self._behind(text, "a") for text in texts[1:])]
