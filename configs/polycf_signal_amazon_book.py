"""PolyCF in signal form on the Amazon-book cut that LMMRec evaluates on.

Paper: PolyCF (Qin et al., arXiv 2401.12590), beside its row in LMMRec (arXiv 2602.05474), Table I.
Data: 11,000 users, 9,332 items, 120,464 / 40,290 / 40,106 interactions, divided 3:1:1 by its authors.
Command: python -m jaxrec.launch --config configs/polycf_signal_amazon_book.py --data.path DIR
Hardware: one CPU core, shared.
Wall time: 12 min 27 s, of which 4 min 57 s on the core.
Result: test recall@5, @10, @20 0.0792, 0.1160, 0.1674; ndcg@5, @10, @20 0.0841, 0.0953, 0.1116 (seed 0). The paper's
row: recall@10 0.1124, ndcg@10 0.0897; here validation items are masked when the test part is ranked, of which the
paper says nothing. Best on validation after the first of two epochs (ndcg@10 0.0933, then 0.0923).
Deviations: no code of PolyCF is public: this is a reconstruction, trained by BPR alone, without the paper's graph
optimization objective.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.polycf_signal import PolyCFSignalConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[PolyCFSignalConfig]:
    return Experiment(
        model=PolyCFSignalConfig(degree=3, exponents=(0.3, 0.5, 0.7), num_singular_vectors=256, low_pass=0.3),
        data=DataConfig(name="amazon_book", split="given"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=2,
            batch_size=256,
            optimizer=OptimizerConfig(name="adam", learning_rate=0.05),
            eval_every=1,
            monitor="ndcg@10",
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
