"""How many steps of denoising behaviours or modalities, and which weight of its loss? A heat map, on the sample.

Paper: M3BSR (Cui et al., SIGIR 2025), Fig. 4: steps {5, 10, 15, 20, 25} and weights of 0.01 to 0.15, behaviours in 4a
and 4d, modalities in 4b and 4e; best at 10 steps and 0.02 there. Its weights are of sums, ours of means.
Data, settings: those of configs/m3bsr_sample.py, one seed; judged on validation, as a search must be. While one stage
is varied, the other stays as it is there.
Command: python -m jaxrec.study configs/studies/m3bsr_steps.py
Hardware: two CPU cores.
Wall time: 50 runs, up to 4 min each on two quiet cores.
Result: docs/results/m3bsr.md
"""

import dataclasses
import pathlib
from typing import Any, Literal

from jaxrec.config import Experiment, load_config
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
STEPS = (5, 10, 15, 20, 25)
WEIGHTS = (0.01, 0.02, 0.05, 0.1, 0.15)


def denoised(
    m3bsr: Experiment[M3BSRConfig], stage: Literal["behavior", "modality"], num_steps: int, weight: float
) -> Experiment[M3BSRConfig]:
    settings = dataclasses.replace(getattr(m3bsr.model, stage), num_steps=num_steps, weight=weight)
    changed: dict[str, Any] = {stage: settings}
    return dataclasses.replace(m3bsr, model=dataclasses.replace(m3bsr.model, **changed))


def get_study() -> Study:
    m3bsr = load_config(CONFIGS / "m3bsr_sample.py")
    return Study(
        name="m3bsr_steps",
        title="M3BSR: steps and weight of behaviour and modality denoising, built-in sample",
        rows=tuple(
            Row(f"{stage}, T = {steps}", {f"{weight}": denoised(m3bsr, stage, steps, weight) for weight in WEIGHTS})
            for stage in ("behavior", "modality")
            for steps in STEPS
        ),
        columns=tuple(Column(f"{weight}", x=weight) for weight in WEIGHTS),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="sampled99",
        also=("full",),
        part="valid",
        figure=Figure("weight of the reconstruction loss", kind="heat_map", y_label="stage and steps"),
    )
