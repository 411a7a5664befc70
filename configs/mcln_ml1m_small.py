"""MCLN on MovieLens-1M, small enough for two cores: the row beside configs/uim_ml1m_small.py.

Paper: MCLN (Li et al., SIGIR 2023), in Table II of UiM: hit@10 0.2311, ndcg@10 0.2025, of another protocol.
Data: MovieLens-1M, all ratings, 5-core; each user's events 8:1:1 by time, so that a user has several test targets.
Command: python -m jaxrec.launch --config configs/mcln_ml1m_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: 6 min 36 s on one core.
Result: test hit@10 0.3560, ndcg@10 0.0749 (seed 0), its best step the last; popularity 0.3056 and 0.0644.
Deviations: model.num_layers is 2, so that four epochs (train.epochs, a bound) end within ten minutes; titles and genres
are the one modality.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.mcln_config import MCLNConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[MCLNConfig]:
    return Experiment(
        model=MCLNConfig(dim=64, num_layers=2),
        data=DataConfig(
            name="ml-1m",
            filter=FilterConfig(user_core=5, item_core=5),
            split="ratio",
            ratio=(8.0, 1.0, 1.0),
            order="temporal",
            published=(999_611, 6_040, 3_416),
        ),
        text=TextConfig(source="tfidf", dim=64),
        features=ItemFeaturesConfig(text=True),
        train=TrainConfig(
            epochs=4,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(1, 5, 10, 20, 50), save_topk=100),
    )
