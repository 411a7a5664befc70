"""UiM on MovieLens-1M, small enough for two cores; titles and genres are its one modality.

Paper: UiM (Xu et al., User Plays a Role), Table II, MovieLens: hit@10 0.2532, ndcg@10 0.2208, of another protocol.
Data: MovieLens-1M, all ratings, 5-core; each user's events 8:1:1 by time, so that a user has several test targets.
Ratings of 3 and more alone: --data.filter.min-rating 3 (835,604 events).
Command: python -m jaxrec.launch --config configs/uim_ml1m_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: 4 min 40 s on one core. With 2,048 targets a step an epoch would take four times as long, since each target
is told from all others of its batch.
Result: test hit@10 0.6100 ± 0.0026, ndcg@10 0.1797 ± 0.0019 over three seeds, the best step the last; popularity
0.3056 and 0.0644.
Deviations: model.dim is 64 and train.batch_size 512. model.backbone is a linear map of id and text: MCLN's propagation
through 799,147 events takes twelve times as long as all else of a step; its vectors can be made first (python -m
jaxrec.export_items) and read with --model.backbone frozen --features.paths backbone=DIR. model.in_batch_negatives is
all others of the batch, the paper's are 5. train.epochs is 8, a bound for ten minutes.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.uim_config import UiMConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[UiMConfig]:
    return Experiment(
        model=UiMConfig(dim=64, max_length=20, num_interests=3, backbone="fusion"),
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
            epochs=8,
            batch_size=512,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(1, 5, 10, 20, 50), save_topk=100),
    )
