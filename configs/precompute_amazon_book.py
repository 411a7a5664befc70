"""Motivations of LMMRec for Amazon-book, and their vectors.

Paper: LMMRec (arXiv 2602.05474), section II-A and Eq. 1: GPT-4o-mini, text-embedding-3-large.
Data: Amazon books with their metadata, or the cut of 11,000 users and 9,332 items with an item_text.jsonl beside it;
ratings of 3 and more, as in configs/lmmrec_amazon_book.py. --data.reviews reads the reviews of a source that has them.
Command: python -m jaxrec.precompute --config configs/precompute_amazon_book.py --data.path DIR --plan
         python -m jaxrec.precompute --config configs/precompute_amazon_book.py --data.path DIR --openai.max-usd 20
Deviations: how many reviews and items a prompt holds, and how long they may be, is not in the paper.
"""

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.openai_settings import OpenAISettings


def get_config() -> PrecomputeConfig:
    return PrecomputeConfig(
        data=DataConfig(
            name="amazon_book",
            filter=FilterConfig(min_rating=3.0),
            split="ratio",
            ratio=(3.0, 1.0, 1.0),
            order="random",
        ),
        backend="openai",
        openai=OpenAISettings(model="gpt-4o-mini", embedding_model="text-embedding-3-large"),
        launch_config="configs/lmmrec_amazon_book.py",
    )
