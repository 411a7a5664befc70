"""UiM on the built-in sample, where what users are after, and who they are, is planted.

Paper: none; the sample's favors follow one to three motivations of a user, and four traits are drawn under them.
Data: built-in sample, favors alone: 1,000 users, 600 items, each user's favors 8:1:1 by time, so that a user has
several test targets; modalities image and text.
Command: python -m jaxrec.launch --config configs/uim_sample.py
Hardware: two CPU cores.
Wall time: 80 s beside a dozen other processes, of these 11 s training
Result: docs/results/uim_sample.md
Deviations: model.dim is 64 and model.max_length 20, as users have 18 training favors on average; model.backbone is
fusion, which takes seconds where MCLN takes a minute; train.batch_size is 256, for a small data set.
model.regularization is 0.0001. Of six settings (seed 0) best validation ndcg@10 was 0.0898 with these; width 32 0.0882,
that with 1e-5 and learning rate 0.002 0.0870, with 1e-3 0.0861; MCLN of width 32 with learning rate 0.002 and 1e-4
0.0895, 1e-5 0.0865. None of these differences is sure.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.uim_config import UiMConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[UiMConfig]:
    return Experiment(
        model=UiMConfig(dim=64, max_length=20, num_interests=3, backbone="fusion", regularization=1e-4),
        data=DataConfig(name="sample", split="ratio", ratio=(8.0, 1.0, 1.0), order="temporal"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=16,
            batch_size=256,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=3,
        ),
        eval=EvalConfig(k=(10, 20)),
    )
