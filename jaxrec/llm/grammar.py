"""Answers that fit a JSON schema: what each token may be, so that the text always parses and ends in time.

llguidance knows which tokens the schema allows after those before. It knows no limit: near its last tokens an answer
is led to its end instead. Arrays take no more elements than they must, and the texts that are still to come share
what is left. Only where the least answer needs more than there is does one end unfinished.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.json_length import largest_rise, longest_choice, longest_end, num_texts
from jaxrec.llm.repetition import Repetition
from jaxrec.llm.tokenizer import Tokenizer

_TEXT_TOKENS = 32
"""Near the end, a text that is still to come is given about so many tokens."""
_OPEN_CHARACTER_BYTES = 16
"""What one token may leave open inside a text: a character in four bytes, an escape."""
_BOUNDS = (b"]", b"}", b",", b":", b"[", b"{", *(b"%d" % digit for digit in range(10)))
"""Where one of these may follow, an array may go on, or a value may begin that is none of a few."""
_CLOSERS = (b"]", b"}", b'"', b",", b":", *(b"%d" % digit for digit in range(10)))


class Grammar:
    """Masks for one tokenizer. num_logits: tokens of the weights, which may be more than the tokenizer's.

    Raises: UserError where llguidance is not installed or does not know the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer, num_logits: int) -> None:
        try:
            import llguidance
        except ImportError as error:
            raise UserError(f"{tokenizer.source}: answers under a schema need `pip install 'jaxrec[llm]'`") from error
        self._matcher = llguidance.LLMatcher
        stop = list(tokenizer.stop_tokens) or None
        try:
            self.tokens = llguidance.LLTokenizer(tokenizer.inner.to_str(), n_vocab=num_logits, eos_token=stop)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{tokenizer.source}: no grammar can be kept with this tokenizer ({reason})") from error
        self.num_logits = num_logits

    def mask(self, schema: Mapping[str, Any], max_tokens: int, no_repeat: int = 0) -> JsonMask:
        """A mask for one answer of up to max_tokens, in JSON without spaces. Raises: ValueError for a bad schema.

        no_repeat: so many tokens in a row stand once in its texts, no text stands twice, and none holds signs alone, as
        far as the schema and the limit allow; 0 for whatever the model likes.
        """
        grammar = self._matcher.grammar_from_json_schema(json.dumps(schema), overrides={"whitespace_flexible": False})
        matcher = self._matcher(self.tokens, grammar)
        if matcher.is_error():
            raise ValueError(f"schema: {matcher.get_error()}")
        rise = largest_rise(schema) + _OPEN_CHARACTER_BYTES
        reserve = longest_end(schema) + rise + _TEXT_TOKENS * num_texts(schema)
        repetition = Repetition(no_repeat) if no_repeat else None
        return JsonMask(self, matcher, max_tokens, rise, reserve, longest_choice(schema), repetition)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer, exactly as the mask read it."""
        return self.tokens.decode_bytes(list(tokens)).decode("utf-8", "replace")

    @cached_property
    def pieces(self) -> Pieces:
        """What the tokens spell, found once."""
        return _read_pieces([self.tokens.decode_bytes([token]) for token in range(self.num_logits)])


@dataclasses.dataclass(frozen=True, eq=False)
class Pieces:
    """What each token spells, as far as masks ask.

    lengths: bytes, [V] int32. quoteless, inner, worded: without a quotation mark, with none of the signs that bound
    values, with a letter or a digit, [V] bool each. codes, escapes: with a character by its code, with an escape open
    at the end, [2, V] bool each: alone, and after an open escape. spelled: ids of single bytes.
    """

    lengths: np.ndarray
    quoteless: np.ndarray
    inner: np.ndarray
    worded: np.ndarray
    codes: np.ndarray
    escapes: np.ndarray
    spelled: dict[bytes, list[int]]


def _read_pieces(spellings: list[bytes]) -> Pieces:
    spelled: dict[bytes, list[int]] = {}
    for token, spelling in enumerate(spellings):
        if len(spelling) == 1:
            spelled.setdefault(spelling, []).append(token)
    return Pieces(
        lengths=np.array([len(one) for one in spellings], np.int32),
        quoteless=np.array([b'"' not in one for one in spellings]),
        inner=np.array([not set(b'",:[]{}') & set(one) for one in spellings]),
        worded=np.array([any(sign.isalnum() for sign in one.decode("utf-8", "ignore")) for one in spellings]),
        codes=np.array([[_has_code(before + one) for one in spellings] for before in (b"", b"\\")]),
        escapes=np.array([[_open_escape(before + one) for one in spellings] for before in (b"", b"\\")]),
        spelled=spelled,
    )


def _has_code(text: bytes) -> bool:
    return b"\\u" in text.replace(b"\\\\", b"")


def _open_escape(text: bytes) -> bool:
    return text.replace(b"\\\\", b"").endswith(b"\\")


class JsonMask:
    """A TokenMask (see jaxrec.llm.generate) for one answer; made by `Grammar.mask`.

    rise: tokens by which the way to the end grows with one token, at most. reserve: with more left, no end is near.
    choice: tokens of the longest fixed value, at most. repetition: what its texts have said; None where they may say it
    again.
    """

    def __init__(
        self,
        grammar: Grammar,
        matcher: Any,
        max_tokens: int,
        rise: int,
        reserve: int,
        choice: int,
        repetition: Repetition | None = None,
    ) -> None:
        self._grammar, self._matcher = grammar, matcher
        self._left, self._rise, self._reserve, self._choice = max_tokens, rise, reserve, choice
        self._repetition, self._in_text = repetition, False
        self._escaping = False
        self._ending = False
        self._share: int | None = None

    @property
    def finished(self) -> bool:
        """See TokenMask."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> np.ndarray:
        """See TokenMask. [V] bool."""
        every = self._without_codes(self._may(self._matcher))
        may = self._near_the_end(every) if self._left <= self._reserve else every
        if self._repetition is None:
            return may
        self._in_text = self._within_text(every)
        return self._unsaid(may, self._repetition) if self._in_text else may

    def take(self, token: int) -> None:
        """See TokenMask. Raises: ValueError for a token that is not allowed."""
        if not self._matcher.consume_token(token):
            raise ValueError(f"token {token}: {self._matcher.get_error() or 'not allowed here'}")
        self._left -= 1
        self._escaping = bool(self._grammar.pieces.escapes[int(self._escaping), token])
        if self._repetition is not None and self._in_text:
            if self._grammar.pieces.quoteless[token]:
                self._repetition.take(token, bool(self._grammar.pieces.worded[token]))
            else:
                self._repetition.end()

    def _without_codes(self, may: np.ndarray) -> np.ndarray:
        """Without characters by their code: what can be read can be spelled, and what a model copies ends as NULs."""
        left = may & ~self._grammar.pieces.codes[int(self._escaping)]
        return left if left.any() else may

    def _unsaid(self, may: np.ndarray, repetition: Repetition) -> np.ndarray:
        """What may follow in a text without saying anything again; everything where that is nothing."""
        left = may & self._grammar.pieces.quoteless if repetition.says_nothing_new else may.copy()
        left[repetition.again()] = False
        return left if left.any() else may

    def _may(self, matcher: Any) -> np.ndarray:
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(bits, count=self._grammar.num_logits, bitorder="little").astype(bool)

    def _near_the_end(self, may: np.ndarray) -> np.ndarray:
        path, texts = self._way_out(may)
        if path is None:
            return may
        within = self._within_text(may)
        spare = self._left - len(path)
        if not self._ending:
            # Arrays may go on while there is room for one more element and for the texts to come.
            if spare > self._rise + _TEXT_TOKENS * (texts + within):
                return may
            self._ending = True
        if within:
            if self._share is None:
                self._share = (spare - _OPEN_CHARACTER_BYTES) // (texts + 1)
            self._share -= 1
            if self._share > 0 and spare > _OPEN_CHARACTER_BYTES:
                return may & (self._grammar.pieces.quoteless | self._is(b'"'))
        else:
            self._share = None
            # Where nothing opens, goes on or ends, fixed values may follow: any of them while there is room.
            pieces = self._grammar.pieces
            if spare > self._choice and not any(may[token] for one in _BOUNDS for token in pieces.spelled.get(one, ())):
                told = may & (pieces.inner | self._is(b'"'))
                if told.any():
                    return told
        only = np.zeros_like(may)
        only[path[0]] = True
        return only

    def _way_out(self, may: np.ndarray) -> tuple[list[int] | None, int]:
        """A short way to the end: its tokens, None where there is none in time, and how many new texts it opens."""
        matcher = self._matcher.deep_copy()
        path: list[int] = []
        texts, within = 0, self._within_text(may)
        while not matcher.is_stopped():
            if path:
                may = self._may(matcher)
                now = self._within_text(may)
                texts += now and not within
                within = now
            token = self._closer(may, within)
            if not matcher.consume_token(token) or len(path) > self._left:
                return None, 0
            path.append(token)
        return (path, texts) if path and len(path) <= self._left else (None, 0)

    def _closer(self, may: np.ndarray, within: bool) -> int:
        """The allowed token that ends most: in a text its quotation mark, elsewhere what closes or goes on."""
        spelled = self._grammar.pieces.spelled
        order = (b'"', b"x") if within else _CLOSERS
        for spelling in order:
            for token in spelled.get(spelling, ()):
                if may[token]:
                    return token
        return int(np.where(may, self._grammar.pieces.lengths, -1).argmax())

    def _within_text(self, may: np.ndarray) -> bool:
        """Whether any character may follow: no name, number or word of JSON goes on with all of these."""
        return all(any(may[token] for token in self._grammar.pieces.spelled.get(one, ())) for one in (b"x", b"q", b"}"))

    def _is(self, spelling: bytes) -> np.ndarray:
        found = np.zeros(self._grammar.num_logits, bool)
        found[self._grammar.pieces.spelled.get(spelling, [])] = True
        return found
