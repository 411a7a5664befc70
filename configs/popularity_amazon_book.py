"""Popularity on the Amazon-book cut: the same list for everybody. What any model must beat.

Paper: none; every result carries the row `popularity`. As a run of its own it can be compared and recommended from.
Data: 11,000 users, 9,332 items, 120,464 / 40,290 / 40,106 interactions, divided 3:1:1 by its authors.
Command: python -m jaxrec.launch --config configs/popularity_amazon_book.py --data.path DIR
Hardware: two CPU cores.
Wall time: a few seconds.
Result: test recall@10 0.0179, ndcg@10 0.0138.
Deviations: none; there is nothing to train.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.popularity import PopularityConfig


def get_config() -> Experiment[PopularityConfig]:
    return Experiment(
        model=PopularityConfig(),
        data=DataConfig(name="amazon_book", split="given"),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10, 20)),
    )
