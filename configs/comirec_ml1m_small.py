"""ComiRec-DR on MovieLens-1M, small enough for two cores: the row beside configs/uim_ml1m_small.py.

Paper: ComiRec (Cen et al., KDD 2020), in Table II of UiM: hit@10 0.1892, ndcg@10 0.1488, of another protocol.
Data: MovieLens-1M, all ratings, 5-core; each user's events 8:1:1 by time, so that a user has several test targets.
Command: python -m jaxrec.launch --config configs/comirec_ml1m_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: 7 min on two cores, 9 on one.
Result: test hit@10 0.5734 ± 0.0058, ndcg@10 0.1557 ± 0.0062 over three seeds, the best step the last; popularity
0.3056 and 0.0644.
Deviations: model.num_interests is 3, as in configs/uim_ml1m_small.py, and so is train.batch_size. train.epochs is 16,
a bound for ten minutes.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.comirec import ComiRecConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[ComiRecConfig]:
    return Experiment(
        model=ComiRecConfig(dim=64, num_interests=3, max_length=20),
        data=DataConfig(
            name="ml-1m",
            filter=FilterConfig(user_core=5, item_core=5),
            split="ratio",
            ratio=(8.0, 1.0, 1.0),
            order="temporal",
            published=(999_611, 6_040, 3_416),
        ),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=16,
            batch_size=512,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(1, 5, 10, 20, 50), save_topk=100),
    )
