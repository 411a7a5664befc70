"""Texts as tokens in batches of a few fixed shapes, for the encoders of this stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrec.errors import UserError

_BATCH_TOKENS = 4096


class TokenBatch(NamedTuple):
    """rows: [n] which texts the first n rows hold. ids, mask: [B, L] int32; what is behind a text is masked."""

    rows: np.ndarray
    ids: np.ndarray
    mask: np.ndarray


def tokenize(path: Path, texts: Sequence[str], max_length: int, vocab_size: int) -> list[list[int]]:
    """Token ids of each text by a tokenizer.json, cut to max_length, with its own first and last token.

    Raises: UserError where the file is damaged, or knows more tokens than vocab_size.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The library raises plain Exception for every kind of damage.
    except Exception as error:
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


def token_batches(tokens: Sequence[Sequence[int]], max_length: int, padding: int) -> Iterator[TokenBatch]:
    """Every text once, short ones together: lengths are powers of two times 16 or three halves of that."""
    sizes = np.array([len(ids) for ids in tokens], np.int64)
    edges = [length for base in (16, 32, 64, 128, 256) for length in (base, base * 3 // 2) if length < max_length]
    edges.append(max_length)
    bucket = np.searchsorted(edges, sizes)
    for place in np.unique(bucket):
        length = edges[place]
        rows_a_batch = max(1, _BATCH_TOKENS // length)
        members = np.flatnonzero(bucket == place)
        for start in range(0, len(members), rows_a_batch):
            rows = members[start : start + rows_a_batch]
            ids = np.full((rows_a_batch, length), padding, np.int32)
            mask = np.zeros((rows_a_batch, length), np.int32)
            # A row of padding alone would divide by zero; its result is dropped.
            mask[:, 0] = 1
            for slot, row in enumerate(rows.tolist()):
                ids[slot, : sizes[row]] = tokens[row]
                mask[slot, : sizes[row]] = 1
            yield TokenBatch(rows, ids, mask)
