"""M3BSR, SASRec and what each part of M3BSR adds, on Retail Rocket: real events, no features.

Paper: M3BSR (Cui et al., SIGIR 2025), Table 2 and Fig. 3 as questions; no number of theirs is of this data.
Data, settings: those of configs/m3bsr_retail_rocket.py. M3BSR and SASRec run with three seeds, the ablations with the
first. Without features there is no modality to denoise: the row w/o CDMD-M would be M3BSR itself, and is left out.
Command: python -m jaxrec.study configs/studies/m3bsr_retail_rocket.py --data retail_rocket=DIR
Hardware: two CPU cores.
Wall time: 14 runs in an hour and a quarter, two at once on two cores.
Result: docs/results/m3bsr.md
"""

import dataclasses
import pathlib
from typing import Any

from jaxrec.config import load_config
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def without(model: M3BSRConfig) -> dict[str, M3BSRConfig]:
    """The models of Fig. 3, and the control of Fig. 5."""
    replace: Any = dataclasses.replace
    return {
        "w/o CDMD-B": replace(model, behavior=replace(model.behavior, kind="none")),
        "w/o MEIE": replace(model, extraction="mean"),
        "w/o Shared Expert": replace(model, shared_expert="none"),
        "w/o Disent": replace(model, contrast=replace(model.contrast, weight=0.0)),
        "MLP for CDMD": replace(model, behavior=replace(model.behavior, kind="mlp")),
    }


def get_study() -> Study:
    m3bsr, sasrec = (load_config(CONFIGS / f"{model}_retail_rocket.py") for model in ("m3bsr", "sasrec"))
    merged = dataclasses.replace(sasrec, model=dataclasses.replace(sasrec.model, events="all"))
    ablations = without(m3bsr.model)
    return Study(
        name="m3bsr_retail_rocket",
        title="M3BSR, its parts, and SASRec on Retail Rocket",
        rows=(
            Row("SASRec on favors", sasrec),
            Row("SASRec on all events", merged),
            Row("M3BSR", m3bsr, ("SASRec on favors", "SASRec on all events", *ablations)),
            *(Row(label, dataclasses.replace(m3bsr, model=model), num_seeds=1) for label, model in ablations.items()),
        ),
        columns=(Column("Retail Rocket"),),
        seeds=(0, 1, 2),
        metrics=("hit@10", "ndcg@10", "hit@20", "ndcg@20"),
        protocol="sampled99",
        also=("full",),
        notes=(
            "tests of M3BSR against a row with one seed are over that seed alone",
            "the data has no pictures and no titles: modality denoising has nothing to do",
        ),
    )
