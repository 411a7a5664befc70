"""The keys, dtypes and padding rule of every batch, written once.

Ids run from 0. A sequence holds id + 1 and 0 where there is nothing; every other padded list carries a mask.
Masks are bool, True = real. Shapes are static: the last batch is padded and masked, never dropped.

Pairwise training (BPRMF, LightGCN, LMMRec):
    user_ids, item_ids, negative_item_ids: [B] int32; mask: [B] bool.
All positions of sequences (SASRec; jaxrec.data.sequence_stream): R rows of a stream of users, one after the other
    tokens: [R, C + W] int32, item id + 1, 0 where there is nothing; the first C are context without a loss.
    segment_ids: [R, C + W] int32, the same within one user's sequence, -1 where there is nothing.
    positions: [R, C + W] int32, from the right end: max_length - 1 is the place of a sequence's last input.
    user_ids: [R, C + W] int32; target_item_ids: [R, W] int32; mask: [R, W] bool;
    negative_item_ids: [R, W, n] int32, where the loss wants n of them.
One target each (M3BSR; prefix augmentation):
    user_ids, target_item_ids: [B] int32; mask: [B] bool; histories: a tuple of [B, L] int32, one a behaviour, the
    target behaviour last: what the user did before the target, id + 1, the latest at the right, 0 to its left;
    negative_item_ids: [B, n] int32, where the loss wants n of them.
Evaluation:
    user_ids: [B] int32; mask: [B] bool; histories as above where they are not those of the context (serving).
"""

from __future__ import annotations

from typing import Any

Batch = dict[str, Any]
"""Name -> jax.Array (or a tuple of them: histories)."""
