"""SASRec on Amazon Beauty, full ranking.

Paper: SASRec (Kang and McAuley, ICDM 2018) ranks among 101 items, which is no full ranking; of Beauty in full ranking
SEALR gives SASRec hit@10 0.0482 and ndcg@10 0.0218, BSARec 0.0927 and 0.0463.
Data: 22,363 users, 12,101 items, 198,502 interactions (5-core, in order, no times), leave-one-out.
Command: python -m jaxrec.launch --config configs/sasrec_beauty.py --data.path DIR
Hardware: two CPU cores.
Wall time: 11 min for 60 epochs on two cores that small jobs shared: 9 s an epoch of training, 3 s an evaluation.
Result: test hit@10 0.0971, ndcg@10 0.0585 (seed 0), validation 0.1162 and 0.0705; popularity 0.0110 and 0.0053. Items
that a user had are no candidates; of 2,500 users drawn at random, 0.1016 and 0.0604 become 0.0916 and 0.0452 where they
are, which is the form that some published numbers have.
Deviations: the paper's loss is one sampled negative (model.loss.name); here it is the softmax over all items. The
encoder is wider (model.dim, model.hidden_dim, model.num_heads); embeddings are normalised before it
(model.embedding_norm) and not scaled (model.scale_embeddings). train.batch_size counts targets, not users. Settings are
those of a padded prototype; none was chosen by the test part.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.sasrec import SASRecConfig
from jaxrec.train.config import OptimizerConfig, TrainConfig


def get_config() -> Experiment[SASRecConfig]:
    return Experiment(
        model=SASRecConfig(dim=64, num_layers=2, num_heads=2, dropout=0.5, max_length=50),
        data=DataConfig(name="beauty", split="leave_one_out"),
        text=TextConfig(source="none"),
        train=TrainConfig(
            epochs=100,
            batch_size=2048,
            optimizer=OptimizerConfig(name="adam", learning_rate=1e-3),
            eval_every=2,
            monitor="ndcg@10",
            patience=8,
        ),
        eval=EvalConfig(k=(5, 10, 20)),
    )
