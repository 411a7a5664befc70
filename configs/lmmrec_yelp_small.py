"""LMMRec over LightGCN on Yelp, with the titles and categories of the businesses as text.

Paper: LMMRec (arXiv 2602.05474), Table I, Yelp: over WeightedGCL recall@10 0.0899, ndcg@10 0.0737.
Data: Yelp 2019 sequences, 30,431 users, 20,033 items, 316,354 interactions; 3:1:1 at random for each user.
Command: python -m jaxrec.launch --config configs/lmmrec_yelp_small.py --data.path DIR
Hardware: two CPU cores.
Wall time: 42 min for 108 epochs with other work on the same cores; 12 s an epoch alone.
Result: test recall@10 0.0498, ndcg@10 0.0300 (seed 0, best of epoch 93); LightGCN (configs/lightgcn_yelp_small.py)
0.0473 and 0.0282; popularity 0.0128 and 0.0075.
Deviations: another cut of Yelp than the paper's (11,091 users, 11,010 items), which cannot be had, so the numbers do
not compare with Table I; model.base is LightGCN instead of WeightedGCL or PolyCF; text is TF-IDF of title and
categories instead of an LLM's motivations.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import CoordinationConfig, CorrespondenceConfig, LMMRecConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[LMMRecConfig]:
    return Experiment(
        model=LMMRecConfig(
            base=LightGCNConfig(dim=32, num_layers=3, combine="mean", regularization=1e-4),
            coordination=CoordinationConfig(weight=1e-2, temperature=0.2),
            correspondence=CorrespondenceConfig(
                weight=1e-2, student_temperature=0.2, teacher_temperature=0.2, momentum=0.999
            ),
            regularization=1e-7,
            text_source="text",
        ),
        data=DataConfig(name="yelp_s3rec", split="ratio", ratio=(3.0, 1.0, 1.0), order="random"),
        text=TextConfig(source="auto", dim=256),
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
