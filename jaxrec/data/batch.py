"""The keys, dtypes and padding rule of every batch, written once.

Ids run from 0. A sequence holds id + 1 and 0 where there is nothing; every other padded list carries a mask.
Masks are bool, True = real. Shapes are static: the last batch is padded and masked, never dropped.

Pairwise training (BPRMF, LightGCN, LMMRec):
    user_ids, item_ids, negative_item_ids: [B] int32; mask: [B] bool.
Evaluation:
    user_ids: [B] int32; mask: [B] bool.
"""

from __future__ import annotations

import jax

Batch = dict[str, jax.Array]
