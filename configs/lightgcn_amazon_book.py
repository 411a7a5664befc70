"""LightGCN on the Amazon-book cut that LMMRec evaluates on.

Paper: LightGCN (He et al., SIGIR 2020). LMMRec (arXiv 2602.05474) uses its propagation, on this cut, without a row
of its own in Table I.
Data: 11,000 users, 9,332 items, 120,464 / 40,290 / 40,106 interactions, divided 3:1:1 by its authors.
Command: python -m jaxrec.launch --config configs/lightgcn_amazon_book.py --data.path DIR
Hardware: two CPU cores.
Wall time: 4 min 16 s.
Result: test recall@10 0.0914, ndcg@10 0.0711 (seed 0); validation still rises slowly at the last epoch.
Deviations: model.dim is 32 as in LMMRec, not 64, so that the two stand side by side; train.epochs is 300, since
early stopping on the validation part ends a run long before the 1,000 epochs of the paper.
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
        data=DataConfig(name="amazon_book", split="given"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=300,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=10,
            monitor="ndcg@10",
            patience=5,
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
