"""Motivations of LMMRec for Steam, and their vectors.

Paper: LMMRec (arXiv 2602.05474), section II-A and Eq. 1: GPT-4o-mini, text-embedding-3-large.
Data: Steam reviews with the metadata of the games beside them. The cut without reviews and text that
configs/lmmrec_steam.py speaks of has nothing that a model could read; with an item_text.jsonl beside it, --data.pool
--data.no-reviews reads that.
Command: python -m jaxrec.precompute --config configs/precompute_steam.py --data.path DIR --plan
         python -m jaxrec.precompute --config configs/precompute_steam.py --data.path DIR --openai.max-usd 20
Deviations: how many reviews and items a prompt holds, and how long they may be, is not in the paper.
"""

from jaxrec.data.config import DataConfig
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.openai_settings import OpenAISettings


def get_config() -> PrecomputeConfig:
    return PrecomputeConfig(
        data=DataConfig(name="steam", reviews=True, split="ratio", ratio=(3.0, 1.0, 1.0), order="random"),
        backend="openai",
        openai=OpenAISettings(model="gpt-4o-mini", embedding_model="text-embedding-3-large"),
        launch_config="configs/lmmrec_steam.py",
    )
