"""BPR-MF on MovieLens-1M, small enough for two cores: the row beside configs/uim_ml1m_small.py.

Paper: BPR (Rendle et al., UAI 2009), in Table II of UiM: hit@10 0.1639, ndcg@10 0.1369, of another protocol.
Data: MovieLens-1M, all ratings, 5-core; each user's events 8:1:1 by time, so that a user has several test targets.
Command: python -m jaxrec.launch --config configs/bprmf_ml1m_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: half a minute on one core, 20 to 23 epochs until validation stops it.
Result: test hit@10 0.3673 ± 0.0024, ndcg@10 0.0800 ± 0.0003 over three seeds; popularity 0.3056 and 0.0644.
Deviations: none.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[BPRMFConfig]:
    return Experiment(
        model=BPRMFConfig(dim=64),
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
            epochs=60,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(1, 5, 10, 20, 50), save_topk=100),
    )
