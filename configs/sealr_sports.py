"""SEALR on Amazon Sports and Outdoors with the paper's settings: configs/sealr_beauty.py on other data.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 2, Sports, FT10 Can50: hit@5 0.1046, ndcg@5 0.0627, hit@10 0.2018, ndcg@10
0.0938, which is chance: docs/results/sealr.md.
Data: Amazon reviews of Sports and Outdoors (2014), 5-core: 35,598 users (the paper prints 35,509; its mean length of
8.32 is that of 35,598), 18,357 items, 296,337 interactions, leave-one-out.
Command: python -m jaxrec.launch --config configs/sealr_sports.py --data.path reviews_Sports_and_Outdoors_5.json.gz
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
    prompt = dataclasses.replace(beauty.model.prompt, category="sports products")
    data = DataConfig(
        name="sports",
        filter=FilterConfig(user_core=5, item_core=5),
        split="leave_one_out",
        published=(296_337, 35_598, 18_357),
    )
    return dataclasses.replace(beauty, model=dataclasses.replace(beauty.model, prompt=prompt), data=data)
