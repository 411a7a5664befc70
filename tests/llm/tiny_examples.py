"""Prompts with answers for a decoder of tests, short enough to be checked by hand."""

import numpy as np

from jaxrec.llm.packed_examples import Example
from tests.llm.tiny_llama import CONFIG

_RNG = np.random.default_rng(8)
LENGTHS = ((5, 3), (9, 1), (2, 7), (12, 2), (4, 4), (3, 1))
EXAMPLES = [Example(*(_RNG.integers(0, CONFIG["vocab_size"], n).tolist() for n in lengths)) for lengths in LENGTHS]
