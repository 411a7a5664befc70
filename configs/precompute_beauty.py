"""Motivations of LMMRec for Amazon Beauty, the set of SEALR and UiM, and their vectors.

Paper: LMMRec (arXiv 2602.05474), section II-A and Eq. 1: GPT-4o-mini, text-embedding-3-large.
Data: Amazon Beauty, 5-core, each user's last interaction for test and the one before it for validation. Sequences with
an item_text.jsonl beside them are read with --data.no-reviews.
Command: python -m jaxrec.precompute --config configs/precompute_beauty.py --data.path DIR --plan
         python -m jaxrec.precompute --config configs/precompute_beauty.py --data.path DIR --openai.max-usd 20
Deviations: LMMRec's paper has no Beauty; the settings are those of its other sets.
"""

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.openai_settings import OpenAISettings


def get_config() -> PrecomputeConfig:
    return PrecomputeConfig(
        data=DataConfig(
            name="beauty", reviews=True, filter=FilterConfig(user_core=5, item_core=5), split="leave_one_out"
        ),
        backend="openai",
        openai=OpenAISettings(model="gpt-4o-mini", embedding_model="text-embedding-3-large"),
        launch_config="configs/lmmrec_yelp_small.py",
    )
