"""SEALR on Yelp with the paper's settings: configs/sealr_beauty.py on other data.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 2, Yelp, FT10 Can50: hit@5 0.1003, ndcg@5 0.0594, hit@10 0.2005, ndcg@10
0.0913, which is chance: docs/results/sealr.md.
Data: Yelp reviews from 2021 on of users with 5 or more: 21,306 users, 53,511 items, 230,186 interactions. In a
5-core there were 5 times as many interactions as items or more, so only users are filtered.
Command: python -m jaxrec.launch --config configs/sealr_yelp.py --data.path DIR
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
    prompt = dataclasses.replace(beauty.model.prompt, category="businesses")
    data = DataConfig(
        name="yelp",
        filter=FilterConfig(start_time=1_609_459_200, user_core=5),
        split="leave_one_out",
        published=(230_186, 21_306, 53_511),
    )
    return dataclasses.replace(beauty, model=dataclasses.replace(beauty.model, prompt=prompt), data=data)
