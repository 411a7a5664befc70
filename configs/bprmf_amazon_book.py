"""BPR-MF on the Amazon-book cut: what LightGCN adds by its graph is the difference to this.

Paper: BPR (Rendle et al., UAI 2009); settings of the library MMRec.
Data: 11,000 users, 9,332 items, 120,464 / 40,290 / 40,106 interactions, divided 3:1:1 by its authors.
Command: python -m jaxrec.launch --config configs/bprmf_amazon_book.py --data.path DIR
Hardware: two CPU cores.
Wall time: not measured yet.
Result: not measured yet.
Deviations: model.dim is 32, as in configs/lightgcn_amazon_book.py; training, regularisation and first embeddings are
also those of that config, so that the graph is the only difference.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[BPRMFConfig]:
    return Experiment(
        model=BPRMFConfig(dim=32, regularization=1e-4),
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
