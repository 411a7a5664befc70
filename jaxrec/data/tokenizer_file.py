"""Texts to token ids by a tokenizer.json, for the encoders of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxrec.errors import UserError


def tokenize(path: Path, texts: Sequence[str], max_length: int, vocab_size: int) -> list[list[int]]:
    """Token ids of each text, cut to max_length, with the tokenizer's own first and last token.

    Raises: UserError where the file is damaged, or knows more tokens than vocab_size.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        # The library raises Exception itself for every kind of damage; what is of a class of its own is none.
        if type(error) is not Exception:
            raise
        raise UserError(f"{path}: not a whole tokenizer ({str(error).splitlines()[0]})") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    # Half a surrogate pair, as damaged sources hold, is no text that the tokenizer takes.
    words = [text.encode("utf-8", "replace").decode() for text in texts]
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(words)]
    largest = max((max(ids, default=0) for ids in tokens), default=0)
    if largest >= vocab_size:
        raise UserError(
            f"{path}: token id {largest}, but config.json says vocab_size {vocab_size}; "
            "tokenizer and weights of one model are needed"
        )
    return tokens
