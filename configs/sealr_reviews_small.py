"""SEALR on reviews with their texts, for two CPU cores: configs/sealr_beauty_small.py with sentiments.

Paper: none with this model; configs/sealr_beauty.py has the paper's settings.
Data: 5,269 reviews of All Beauty (2018), of users with three or more items (976 users, 83 items), leave-one-out; no
titles.
Command: python -m jaxrec.launch --config configs/sealr_reviews_small.py --data.path All_Beauty_5.json.gz
         --model.tuning.decoder FILE --model.sentiment.lexicon DIR
         without the sentiments: … --model.prompt.no-sentiment
Models: SmolLM2-135M-Instruct, a folder or a .gguf file; VADER's lexicon, or an emotion model with
--model.sentiment.model.
Hardware: two CPU cores.
Wall time: 11 min of tuning and 6 min of ranking on two busy cores
Result: docs/results/sealr.md
Deviations: those of configs/sealr_beauty_small.py (model.tuning.decoder, model.candidates.count and the limits), but
model.prompt.items is digits, as there are no titles, and model.prompt.sentiment on; model.tuning.share is 0.5, for few
users; data.filter: as a 5-core, the first review of each item alone, 137 users would be left.
"""

import dataclasses
import pathlib

from jaxrec.config import Experiment, load_config
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.models.sealr_config import SEALRConfig


def get_config() -> Experiment[SEALRConfig]:
    small = load_config(pathlib.Path(__file__).with_name("sealr_beauty_small.py"))
    model = dataclasses.replace(
        small.model,
        prompt=dataclasses.replace(small.model.prompt, items="digits", sentiment=True),
        tuning=dataclasses.replace(small.model.tuning, share=0.5),
    )
    data = DataConfig(name="reviews", filter=FilterConfig(user_core=3), split="leave_one_out")
    return dataclasses.replace(small, model=model, data=data)
