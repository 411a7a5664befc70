"""LightGCN on Yelp with LMMRec's training settings: the row beside configs/lmmrec_yelp_small.py.

Paper: LightGCN (He et al., SIGIR 2020), with the settings of LMMRec (arXiv 2602.05474), Section III.
Data: Yelp 2019 sequences, 30,431 users, 20,033 items, 316,354 interactions; 3:1:1 at random for each user.
Command: python -m jaxrec.launch --config configs/lightgcn_yelp_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: 10 min 45 s for 39 epochs with other work on the same cores.
Result: test recall@10 0.0473, ndcg@10 0.0282 (seed 0, best of epoch 24).
Deviations: another cut of Yelp than the paper's, which cannot be had; its numbers do not compare with Table I.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[LightGCNConfig]:
    return Experiment(
        model=LightGCNConfig(dim=32, num_layers=3, combine="mean", regularization=1e-4),
        data=DataConfig(name="yelp_s3rec", split="ratio", ratio=(3.0, 1.0, 1.0), order="random"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=300,
            batch_size=512,
            optimizer=OptimizerConfig(name="adam", learning_rate=3e-3),
            eval_every=3,
            monitor="recall@20",
            patience=5,
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
