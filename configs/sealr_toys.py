"""SEALR on Amazon Toys and Games with the paper's settings: configs/sealr_beauty.py on other data.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 2, Toys, FT10 Can50: hit@5 0.0990, ndcg@5 0.0596, hit@10 0.1949, ndcg@10
0.0900, which is chance: docs/results/sealr.md.
Data: Amazon reviews of Toys and Games (2014), 5-core: 19,412 users, 11,924 items, 167,597 interactions, leave-one-out.
Command: python -m jaxrec.launch --config configs/sealr_toys.py --data.path reviews_Toys_and_Games_5.json.gz
         --model.tuning.decoder DIR --model.sentiment.model DIR
Models: those of configs/sealr_beauty.py.
Hardware: an accelerator with 40 GB or more.
Wall time: not run, as neither the model nor review text can be had here.
Result: not run; docs/results/sealr.md holds what was.
Deviations: those of configs/sealr_beauty.py: model.candidates.inject_target, model.sentiment.mapping.
"""

import dataclasses
import pathlib

from jaxrec.config import Experiment, load_config
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.models.sealr_config import SEALRConfig


def get_config() -> Experiment[SEALRConfig]:
    beauty = load_config(pathlib.Path(__file__).with_name("sealr_beauty.py"))
    prompt = dataclasses.replace(beauty.model.prompt, category="toys")
    data = DataConfig(
        name="toys",
        filter=FilterConfig(user_core=5, item_core=5),
        split="leave_one_out",
        published=(167_597, 19_412, 11_924),
    )
    return dataclasses.replace(beauty, model=dataclasses.replace(beauty.model, prompt=prompt), data=data)
