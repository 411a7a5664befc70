"""PALR on the built-in sample, with a decoder made from nothing: the baseline of configs/sealr_sample.py.

Paper: Yang et al., PALR; none on this data.
Data: as configs/sealr_sample.py.
Command: python -m jaxrec.launch --config configs/palr_sample.py
Hardware: two CPU cores.
Wall time: 1 min 27 s beside other programs, all steps
Result: docs/results/sealr.md
Deviations: those of configs/sealr_sample.py: model.candidates.count, model.tuning.share, model.tuning.decoder (none:
all weights of a tiny decoder are trained); names of three words (model.prompt.name_words), a history of 10
(model.prompt.history).
"""

import dataclasses
import pathlib

from jaxrec.config import Experiment, load_config
from jaxrec.models.sealr_config import PALRConfig, PromptConfig


def get_config() -> Experiment[PALRConfig]:
    sealr = load_config(pathlib.Path(__file__).with_name("sealr_sample.py"))
    model = PALRConfig(
        candidates=sealr.model.candidates,
        prompt=PromptConfig(
            template="palr", items="names", sentiment=False, category="items", history=10, name_words=3
        ),
        tuning=sealr.model.tuning,
    )
    return dataclasses.replace(sealr, model=model)
