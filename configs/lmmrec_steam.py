"""LMMRec over WeightedGCL on Steam, the paper's settings; with no data at hand, on the built-in sample.

Paper: LMMRec (arXiv 2602.05474), Table I, Steam: over WeightedGCL recall@10 0.0994, ndcg@10 0.0808.
Data: the Steam cut of the paper has 23,310 users and 5,237 items. Its training part cannot be had; valid and test
together hold 209,732 interactions, which --data.pool joins and splits 3:1:1 anew. They come without item text.
Command: python -m jaxrec.launch --config configs/lmmrec_steam.py
         python -m jaxrec.launch --config configs/lmmrec_steam.py --data.path DIR --data.pool
Hardware: two CPU cores.
Wall time: 1 min 10 s on the sample, with other work on the same cores.
Result: on the sample test ndcg@10 0.1106 (WeightedGCL alone 0.1073), popularity 0.0450, random 0.0125; seed 0. On Steam
this base was not run. LightGCN in its place, without text (w/o TM), had recall@10 0.0600 and ndcg@10 0.0356 against
popularity's 0.0560 and 0.0335: at this learning rate it overfits after 12 epochs.
Deviations: text is TF-IDF instead of an LLM's motivations; where there is none, model.text_source "auto" learns a
vector in its place (the paper's w/o TM) and the banner says so. The paper gives d, batch, learning rate, optimiser and
split; docs/settings.md says where the rest is from.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lmmrec import CoordinationConfig, CorrespondenceConfig, LMMRecConfig
from jaxrec.models.weightedgcl import WeightedGCLConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[LMMRecConfig]:
    return Experiment(
        model=LMMRecConfig(
            base=WeightedGCLConfig(
                dim=32, num_layers=2, regularization=1e-4, contrast_weight=2e-5, temperature=0.2, noise=0.1
            ),
            coordination=CoordinationConfig(weight=1e-2, temperature=0.2),
            correspondence=CorrespondenceConfig(
                weight=1e-2, student_temperature=0.2, teacher_temperature=0.2, momentum=0.999
            ),
            regularization=1e-7,
            text_source="auto",
        ),
        data=DataConfig(name="steam", split="ratio", ratio=(3.0, 1.0, 1.0), order="random"),
        text=TextConfig(source="auto"),
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
