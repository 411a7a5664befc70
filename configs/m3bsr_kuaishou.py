"""M3BSR on Kuaishou, with the paper's settings.

Paper: Cui et al., SIGIR 2025, Table 2: hit@10 0.2603, ndcg@10 0.1630, hit@20 0.3101, ndcg@20 0.1612.
Those numbers cannot all be of one target a user: 33 of the table's 34 cells break the arithmetic of docs/metrics.md.
Data: train_interaction.txt of the User Interest Modeling Challenge; a like is a favor. A like is at the time of its
click, which is therefore not before it.
Features: the challenge gives visual vectors (jaxrec.data.readers.kuaishou.read_photo_features) and numbers of words, no
titles; whatever is given with --features.paths is read, of any width.
The paper's Table 1 has 22,793 users with 255.02 clicks and 40.96 favors each, which is not its 5,852,725 events; the
run's own statistics are printed by `python -m jaxrec.prepare` and kept in data.json.
Command: python -m jaxrec.launch --config configs/m3bsr_kuaishou.py --data.path DIR \
    --features.paths image=DIR/image text=DIR/text
Hardware: not run; the data was not at hand.
Wall time: not run.
Result: not run.
Deviations: train.epochs is a bound that early stopping ends a run before; the paper names none. eval.protocols
has full ranking beside the paper's sampled99. Width and learning rate are out of the ranges that the paper searched.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.m3bsr import DenoisingConfig, DisentanglementConfig, M3BSRConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[M3BSRConfig]:
    denoising = DenoisingConfig(weight=0.02, num_steps=15, noise_low=1e-3, noise_high=0.1)
    return Experiment(
        model=M3BSRConfig(
            dim=128,
            id_dim=16,
            max_length=50,
            modality=denoising,
            behavior=denoising,
            contrast=DisentanglementConfig(weight=0.05, temperature=0.3),
        ),
        data=DataConfig(
            name="kuaishou",
            format="kuaishou",
            behaviors=("click=click", "favor=like"),
            filter=FilterConfig(min_events=5),
            split="leave_one_out",
            leave_one_out_from=3,
        ),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=200,
            batch_size=1024,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=10,
        ),
        eval=EvalConfig(k=(10, 20), protocols=("sampled99", "full"), cold_start_events=10),
    )
