"""Token ids in batches of a few fixed shapes, for the encoders of this stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

_BATCH_TOKENS = 4096


class TokenBatch(NamedTuple):
    """rows: [n] which texts the first n rows hold. ids, mask: [B, L] int32; what is behind a text is masked."""

    rows: np.ndarray
    ids: np.ndarray
    mask: np.ndarray


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
