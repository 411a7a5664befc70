"""Text to tokens and back, by the tokenizer.json of a Hugging Face folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrec.errors import UserError
from jaxrec.llm.config import read_object

TOKENIZER, TOKENIZER_CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """A `tokenizers.Tokenizer` and what the checkpoint says about its tokens.

    stop_tokens: ids that end an answer. bos, eos: texts of the first and last token, "" where there is none.
    special_texts: texts that stand for control tokens. chat_template: in Jinja's language, None where there is none.
    source: the file, for messages.
    """

    inner: Any
    stop_tokens: tuple[int, ...]
    bos: str
    eos: str
    special_texts: tuple[str, ...]
    chat_template: str | None
    source: Path

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        return self.inner.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, special_tokens: bool = False) -> list[int]:
        """Token ids; special_tokens: with the first token that the checkpoint puts before a text."""
        # Half a surrogate pair, as damaged sources hold, is no text that the tokenizer takes.
        text = text.encode("utf-8", "replace").decode()
        return self.inner.encode(text, add_special_tokens=special_tokens).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without control tokens."""
        return self.inner.decode(list(ids), skip_special_tokens=True)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder. Raises UserError where tokenizer.json is missing or damaged."""
    tokenizers = import_tokenizers(folder)
    path = folder / TOKENIZER
    if not path.is_file():
        raise UserError(f"{path}: not found; a tokenizer in this form is needed")
    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        # The library raises Exception itself for every kind of damage; what is of a class of its own is none.
        if type(error) is not Exception:
            raise
        raise UserError(f"{path}: not a whole tokenizer ({str(error).splitlines()[0]})") from error
    inner.no_padding()
    inner.no_truncation()
    settings = _read_if_there(folder / TOKENIZER_CONFIG)
    added = inner.get_added_tokens_decoder().values()
    return Tokenizer(
        inner=inner,
        stop_tokens=_stop_tokens(folder, inner, settings),
        bos=_token_text(settings.get("bos_token")),
        eos=_token_text(settings.get("eos_token")),
        special_texts=tuple(sorted(token.content for token in added if token.special)),
        chat_template=_chat_template(folder, settings),
        source=path,
    )


def import_tokenizers(source: Path) -> Any:
    """The package. Raises UserError where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(f"{source}: reading tokenizers needs `pip install 'jaxrec[llm]'`") from error
    return tokenizers


def _stop_tokens(folder: Path, inner: Any, settings: dict[str, Any]) -> tuple[int, ...]:
    """What ends an answer: generation_config.json knows best, then config.json, then the tokenizer's last token."""
    for name in ("generation_config.json", "config.json"):
        found = _read_if_there(folder / name).get("eos_token_id")
        if found is not None:
            ids: list[Any] = found if isinstance(found, list) else [found]
            if not ids or not all(type(token) is int and token >= 0 for token in ids):
                raise UserError(f"{folder / name}: eos_token_id {found!r}; whole numbers are needed")
            return tuple(ids)
    token = inner.token_to_id(_token_text(settings.get("eos_token")))
    return () if token is None else (token,)


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    path = folder / TEMPLATE
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as text ({str(error).splitlines()[0]})") from error
    found = settings.get("chat_template")
    if isinstance(found, list):
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    if found is not None and not isinstance(found, str):
        raise UserError(f"{folder / TOKENIZER_CONFIG}: chat_template is a {type(found).__name__}; a text is needed")
    return found


def _token_text(value: Any) -> str:
    """The text of a token that is named in full, by an object, or not at all."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}
