"""Motivations of LMMRec for MovieLens-1M, the set of UiM, and their vectors.

Paper: LMMRec (arXiv 2602.05474), section II-A and Eq. 1: GPT-4o-mini, text-embedding-3-large.
Data: MovieLens-1M, 5-core without a rating filter, each user's interactions 8:1:1 by time. It has no reviews: a film's
prompt holds its title and genres, a user's the films with the user's ratings.
Command: python -m jaxrec.precompute --config configs/precompute_ml1m.py --data.path DIR --plan
         python -m jaxrec.precompute --config configs/precompute_ml1m.py --data.path DIR --openai.max-usd 20
         … --steps profiles; --steps simulated_user --simulated-user.candidates RUN/topk.npz (UiM, section III-D)
Deviations: LMMRec's paper has no MovieLens; hosted models know these films, which their answers may show.
"""

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.openai_settings import OpenAISettings
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig


def get_config() -> PrecomputeConfig:
    return PrecomputeConfig(
        data=DataConfig(
            name="ml-1m",
            filter=FilterConfig(user_core=5, item_core=5),
            split="ratio",
            ratio=(8.0, 1.0, 1.0),
            order="temporal",
        ),
        backend="openai",
        openai=OpenAISettings(model="gpt-4o-mini", embedding_model="text-embedding-3-large"),
        simulated_user=SimulatedUserConfig(things="movies", consumed="watched"),
        launch_config="configs/lmmrec_yelp_small.py",
    )
