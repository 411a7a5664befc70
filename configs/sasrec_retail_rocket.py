"""SASRec on Retail Rocket, as a baseline of M3BSR: on favors alone, or on all events in one sequence.

Paper: Kang and McAuley, ICDM 2018; none on this data.
Data: as configs/m3bsr_retail_rocket.py.
Command: python -m jaxrec.launch --config configs/sasrec_retail_rocket.py --data.path DIR [--model.events all]
Hardware: two CPU cores.
Wall time: 35 s on favors, 2.5 min on all events, on a shared machine.
Result: docs/results/m3bsr.md
Deviations: data, training and evaluation are those of configs/m3bsr_retail_rocket.py, so that nothing but the model
differs.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.sasrec import SASRecConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[SASRecConfig]:
    return Experiment(
        model=SASRecConfig(dim=64, max_length=50, dropout=0.5, events="target"),
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
