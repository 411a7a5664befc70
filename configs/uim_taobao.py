"""UiM on Taobao, with the paper's settings, over the data that MCLN's authors publish.

Paper: Xu et al., User Plays a Role, Table II: hit@10 0.5383, ndcg@10 0.3611, hit@50 0.7535, ndcg@50 0.3822, the
simulated user included. Its ndcg hardly rises from 10 to 50, which one target a user does not allow.
Data: MCLN's folder of Taobao: train.txt and test.txt, joined and divided anew 8:1:1 for each user. The profiles are the
fields mined from the training part; there are no traits of users.
Command: python -m jaxrec.launch --config configs/uim_taobao.py --data.path DIR
         --features.paths visual=DIR/item2imgfeat.txt
         with one target a user: --data.split leave_one_out --eval.protocols sampled99 (a table of its own)
Hardware: not run; the data was not at hand, and an accelerator is needed.
Wall time: not run.
Result: not run.
Deviations: data.order is random, since the published files have no times. train.epochs is a bound that early stopping
ends a run before; the paper names none, nor the length of histories and the weight of Eq. 13.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.mcln_config import MCLNItemsConfig
from jaxrec.models.uim_config import UiMConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[UiMConfig]:
    return Experiment(
        model=UiMConfig(
            dim=1024,
            max_length=50,
            num_interests=3,
            in_batch_negatives=5,
            regularization=1e-5,
            backbone="joint",
            mcln=MCLNItemsConfig(dim=1024, num_layers=5, num_blocks=4, image_weight=0.2, regularization=1e-3),
        ),
        data=DataConfig(
            name="mcln_taobao",
            pool=True,
            split="ratio",
            ratio=(8.0, 1.0, 1.0),
            order="random",
            published=(83_648, 12_539, 8_735),
        ),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=200,
            batch_size=256,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=1,
            monitor="ndcg@10",
            patience=10,
        ),
        eval=EvalConfig(k=(10, 50), save_topk=100),
    )
