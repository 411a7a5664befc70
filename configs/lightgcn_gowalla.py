"""LightGCN on its own Gowalla benchmark.

Paper: LightGCN (He et al., SIGIR 2020), Table 3, Gowalla, 3 layers: recall@20 0.1823, ndcg@20 0.1555.
Data: 29,858 users, 40,981 items, 719,081 / 91,047 / 217,242 interactions in LightGCN's text form.
Command: python -m jaxrec.launch --config configs/lightgcn_gowalla.py --data.path DIR
Hardware: two CPU cores.
Wall time: 63 min for 20 epochs on a share of two cores (about 21 min of one core).
Result: after 20 of 1,000 epochs test recall@20 0.1266, ndcg@20 0.1106 (seed 0), validation recall@20 0.1196 and still
rising; popularity 0.0416 and 0.0317. The curve is docs/results/lightgcn_gowalla.png. Not run to convergence.
Deviations: the paper trains on train and valid together and reports the best test result of all epochs; here train
alone is trained on, valid chooses the step, valid items are masked at test, and the test part is read once. So the
number is lower than the paper's and means more. train.patience stops early; the paper's code runs all epochs.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[LightGCNConfig]:
    return Experiment(
        model=LightGCNConfig(dim=64, num_layers=3, combine="mean", regularization=1e-4),
        data=DataConfig(name="gowalla", split="given"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=1000,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=10,
            monitor="recall@20",
            patience=10,
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
