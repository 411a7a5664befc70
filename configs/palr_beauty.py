"""PALR on Amazon Beauty as SEALR's Table 2 has it: names and a preference summary, tuned on a fifth of the users.

Paper: Yang et al., PALR; SEALR (Lee and Kim, SIGIR 2025), Table 2: hit@5 0.0705, ndcg@5 0.0426, hit@10 0.1199, ndcg@10
0.0586.
Data: as configs/sealr_beauty.py; names from item_text.jsonl or the metadata beside the reviews.
Command: python -m jaxrec.launch --config configs/palr_beauty.py --data.path DIR --model.tuning.decoder DIR
Models: meta-llama/Llama-2-7b-hf, as a folder on this machine.
Hardware: an accelerator with 40 GB or more.
Wall time: not run, as the model cannot be had here.
Result: not run; docs/results/sealr.md holds what was.
Deviations: model.candidates.inject_target is off, as in configs/sealr_beauty.py. model.prompt.summary counts keywords
of the items of a history, where PALR's summary is written by a language model.
"""

import dataclasses
import pathlib

from jaxrec.config import Experiment, load_config
from jaxrec.models.sealr_config import PALRConfig, PromptConfig


def get_config() -> Experiment[PALRConfig]:
    beauty = load_config(pathlib.Path(__file__).with_name("sealr_beauty.py"))
    model = PALRConfig(
        candidates=beauty.model.candidates,
        prompt=PromptConfig(
            template="palr", items="names", sentiment=False, category="beauty products", history=50, max_tokens=2048
        ),
        tuning=dataclasses.replace(beauty.model.tuning, share=0.2, row_tokens=2048),
    )
    return dataclasses.replace(beauty, model=model)
