"""LMMRec over PolyCF on Amazon-book: configs/lmmrec_amazon_book.py with another base.

Paper: LMMRec (arXiv 2602.05474), Table I, Amazon-book: over PolyCF recall@10 0.1181, ndcg@10 0.0924.
Data: as for configs/lmmrec_amazon_book.py.
Command: python -m jaxrec.launch --config configs/lmmrec_polycf_amazon_book.py --data.path DIR
Hardware: two CPU cores.
Wall time: not run; docs/results/lmmrec.md holds what was.
Result: not run, as the text cannot be had here.
Deviations: PolyCF is a reconstruction, as no code of it is public (jaxrec/models/polycf.py); otherwise those of
configs/lmmrec_amazon_book.py: text.source.
"""

import dataclasses
import pathlib

from jaxrec.config import Experiment, load_config
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.models.polycf import PolyCFConfig


def get_config() -> Experiment[LMMRecConfig]:
    over_weightedgcl = load_config(pathlib.Path(__file__).with_name("lmmrec_amazon_book.py"))
    base = PolyCFConfig(dim=32, num_layers=3, exponents=(0.3, 0.5, 0.7), regularization=1e-4)
    return dataclasses.replace(over_weightedgcl, model=dataclasses.replace(over_weightedgcl.model, base=base))
