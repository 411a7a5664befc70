"""SASRec on the built-in sample, as a baseline of M3BSR: on favors alone, or on all events in one sequence.

Paper: Kang and McAuley, ICDM 2018; none on this data.
Data: as configs/m3bsr_sample.py.
Command: python -m jaxrec.launch --config configs/sasrec_sample.py [--model.events all]
Hardware: two CPU cores.
Wall time: about 1 min on a shared machine.
Result: docs/results/m3bsr.md
Deviations: data, training and evaluation are those of configs/m3bsr_sample.py, so that nothing but the model differs.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.sasrec import SASRecConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[SASRecConfig]:
    return Experiment(
        model=SASRecConfig(dim=64, max_length=50, dropout=0.2, events="target"),
        data=DataConfig(
            name="sample",
            behaviors=("click=click", "favor=favor"),
            implied="drop",
            split="leave_one_out",
        ),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=12,
            batch_size=256,
            optimizer=OptimizerConfig(name="adam", learning_rate=2e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(10, 20), protocols=("sampled99", "full"), cold_start_events=10),
    )
