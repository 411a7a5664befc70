"""A small SASRec, and sequences for it."""

import numpy as np

from jaxrec.data.sequence_rows import Sequences
from jaxrec.models.sasrec import SASRec, SASRecConfig

NUM_USERS, NUM_ITEMS, LENGTH = 6, 16, 5
CONFIG = SASRecConfig(dim=8, num_heads=2, hidden_dim=12, dropout=0.0, max_length=LENGTH, init_std=0.3)


def model_of(config):
    return SASRec(config, NUM_USERS, NUM_ITEMS)


def flat(sequences):
    """Sequences in CSR form, their events padded to one size so that nothing compiles anew."""
    lengths = np.array([len(items) for items in sequences])
    events = np.concatenate([*sequences, np.zeros(NUM_USERS * (LENGTH + 1) - lengths.sum())]).astype(np.int32)
    starts = (np.cumsum(lengths) - lengths).astype(np.int32)
    return Sequences(np.arange(len(sequences), dtype=np.int32), starts, (lengths - 1).astype(np.int32), events)
