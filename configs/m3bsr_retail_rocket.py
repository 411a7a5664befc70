"""M3BSR on Retail Rocket: a view is a click, the first of cart and purchase of an item is a favor; ids alone.

Paper: none on this data; it stands in for Rec-Tmall and Kuaishou, which were not at hand. The set has no pictures and
no titles, so that modality denoising (CDMD-M) has nothing to do and three of the seven experts are left.
Data: 2,174 users, 29,905 items, 75,374 clicks and 13,228 favors; leave-one-out on favors.
Command: python -m jaxrec.launch --config configs/m3bsr_retail_rocket.py --data.path DIR
Hardware: two CPU cores.
Wall time: 7 to 14 min on one core.
Result: docs/results/m3bsr.md
Deviations: model.dim is 64, as in SASRec beside it, and model.num_layers 1. model.output is tied: of a free table most
of the 29,905 items' rows would never be taught by 11,736 training favors. train.batch_size is 256 and train.patience 5
because that part is small. data.leave_one_out_from is 3: 746 users have so many favors, the other 1,428 stay in train.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[M3BSRConfig]:
    return Experiment(
        model=M3BSRConfig(dim=64, max_length=50, num_layers=1, output="tied"),
        data=DataConfig(
            name="retail_rocket",
            behaviors=("click=0", "favor=1+2"),
            filter=FilterConfig(min_events=5),
            split="leave_one_out",
        ),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=30,
            batch_size=256,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=5,
        ),
        eval=EvalConfig(k=(10, 20), protocols=("sampled99", "full"), cold_start_events=10),
    )
