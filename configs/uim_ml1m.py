"""UiM on MovieLens-1M, with the paper's settings.

Paper: Xu et al., User Plays a Role, Table II: hit@10 0.2532, ndcg@10 0.2208, hit@50 0.3527, ndcg@50 0.3032, the
simulated user included; without one hit@10 0.2419, ndcg@10 0.2098 (Table IV). Its protocol is not told in full, and its
numbers break what one target a user allows (docs/metrics.md): orderings may be compared, values not.
Data: MovieLens-1M, all ratings, 5-core, as the paper's Table I counts it; each user's events 8:1:1 by time. Ratings of
3 and more, as the paper's text says: --data.filter.min-rating 3. python -m jaxrec.prepare --config FILE prints what is
found beside the table. Profiles: gender, age, occupation, ZIP region, and the mined fields.
Command: python -m jaxrec.launch --config configs/uim_ml1m.py --data.path DIR --features.paths image=posters.npy
         then python -m jaxrec.refine --run RUN --top 10, or 50, with the backend of choice
Hardware: not run; an accelerator is needed.
Wall time: not run.
Result: not run; configs/uim_ml1m_small.py is.
Deviations: posters and introductions were crawled by the authors and are not public; titles and genres stand for the
latter, and posters are read where they are given. train.epochs is a bound that early stopping ends a run before; the
paper names none, nor the length of histories and the weight of Eq. 13.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.mcln_config import MCLNItemsConfig
from jaxrec.models.uim_config import UiMConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[UiMConfig]:
    return Experiment(
        model=UiMConfig(
            dim=512,
            max_length=50,
            num_interests=3,
            in_batch_negatives=5,
            regularization=1e-5,
            backbone="joint",
            mcln=MCLNItemsConfig(dim=512),
        ),
        data=DataConfig(
            name="ml-1m",
            filter=FilterConfig(user_core=5, item_core=5),
            split="ratio",
            ratio=(8.0, 1.0, 1.0),
            order="temporal",
            published=(999_611, 6_040, 3_416),
        ),
        text=TextConfig(source="tfidf"),
        features=ItemFeaturesConfig(text=True),
        train=TrainConfig(
            epochs=200,
            batch_size=128,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=10,
        ),
        eval=EvalConfig(k=(10, 50), save_topk=100),
    )
