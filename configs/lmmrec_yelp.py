"""LMMRec over WeightedGCL on Yelp, the paper's settings.

Paper: LMMRec (arXiv 2602.05474), Table I, Yelp: over WeightedGCL recall@10 0.0899, ndcg@10 0.0737.
Data: the Yelp Open Dataset with its ratings, those of 2 and more. The paper's cut of it (11,091 users, 11,010 items) is
not published; configs/lmmrec_yelp_small.py is for a set that comes without ratings.
Command: python -m jaxrec.launch --config configs/lmmrec_yelp.py --data.path DIR --text.path DIR
Hardware: two CPU cores.
Wall time: not run; docs/results/lmmrec.md holds what was.
Result: not run, as the data cannot be had here.
Deviations: without --text.path, text.source "auto" makes TF-IDF of names, categories and places (or --text.encoder DIR
sentence vectors) instead of an LLM's motivations.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
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
            text_source="text",
        ),
        data=DataConfig(
            name="yelp", filter=FilterConfig(min_rating=2.0), split="ratio", ratio=(3.0, 1.0, 1.0), order="random"
        ),
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
