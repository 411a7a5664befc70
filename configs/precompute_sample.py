"""Every step for the built-in sample, without a model, a key or a network.

Paper: LMMRec (arXiv 2602.05474), section II-A and Eq. 1; SEALR, section 2.1; UiM, Eq. 2 and 3 and section III-D.
Data: the sample; its reviews are read. --data.path DIR takes other data, --data.no-reviews such without reviews.
Command: python -m jaxrec.precompute --config configs/precompute_sample.py
         python -m jaxrec.launch --config configs/lmmrec_steam.py --text.path DIR
Models: --sentiment.model DIR (RoBERTa, GoEmotions), --sentiment.lexicon DIR (VADER), --features.clip DIR.
Hosted: --backend openai asks GPT-4o-mini and text-embedding-3-large; --plan says before what that costs.
"""

from jaxrec.data.config import DataConfig
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig


def get_config() -> PrecomputeConfig:
    return PrecomputeConfig(
        # The split of configs/lmmrec_steam.py, so that it trains on the output.
        data=DataConfig(name="steam", reviews=True, split="ratio", ratio=(3.0, 1.0, 1.0), order="random"),
        steps=("motivations", "embeddings", "sentiment", "profiles", "simulated_user", "features"),
        backend="rules",
        simulated_user=SimulatedUserConfig(things="games", consumed="played"),
        launch_config="configs/lmmrec_steam.py",
    )
