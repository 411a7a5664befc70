"""PolyCF in embedding form on the Amazon-book cut that LMMRec evaluates on.

Paper: PolyCF (Qin et al., arXiv 2401.12590), with the settings of LMMRec (arXiv 2602.05474), a base of which it is.
Data: 11,000 users, 9,332 items, 120,464 / 40,290 / 40,106 interactions, divided 3:1:1 by its authors.
Command: python -m jaxrec.launch --config configs/polycf_amazon_book.py --data.path DIR
Hardware: one CPU core, shared.
Wall time: 18 min, of which about 5 min on the core.
Result: test recall@5, @10, @20 0.0589, 0.0942, 0.1403; ndcg@5, @10, @20 0.0610, 0.0728, 0.0876 (seed 0, best of epoch
75). The paper's row: recall@10 0.1124, ndcg@10 0.0897. With the identity as a term (model.identity) the same settings
had recall@10 0.0799, ndcg@10 0.0611: theta moves to the ego layer, which fits the training pairs.
Deviations: no code of PolyCF is public: this is a reconstruction with free embeddings, on which LMMRec can stand; the
paper's model filters signals (polycf_signal_amazon_book). train.batch_size is 2048, as for LightGCN, and
train.optimizer.learning_rate 0.002 was chosen on the validation part.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.polycf import PolyCFConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[PolyCFConfig]:
    return Experiment(
        model=PolyCFConfig(dim=32, num_layers=3, exponents=(0.3, 0.5, 0.7), regularization=1e-3),
        data=DataConfig(name="amazon_book", split="given"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=100,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=2e-3),
            eval_every=5,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
