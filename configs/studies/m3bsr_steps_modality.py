"""How many steps of modality denoising, and which weight of its loss? A heat map, on the built-in sample.

Paper: M3BSR (Cui et al., SIGIR 2025), Fig. 4b and 4e: steps {5, 10, 15, 20, 25} and weights of 0.01 to 0.15; best
at 10 steps and 0.02 there.
Data, settings: those of configs/m3bsr_sample.py, one seed; judged on validation, as a search must be.
Command: python -m jaxrec.study configs/studies/m3bsr_steps_modality.py
Hardware: two CPU cores.
Wall time: 25 runs, up to 4 min each on two quiet cores.
Result: docs/results/m3bsr.md
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
STEPS = (5, 10, 15, 20, 25)
WEIGHTS = (0.01, 0.02, 0.05, 0.1, 0.15)


def get_study() -> Study:
    m3bsr = load_config(CONFIGS / "m3bsr_sample.py")
    models = (
        dataclasses.replace(m3bsr.model, modality=dataclasses.replace(m3bsr.model.modality, num_steps=steps))
        for steps in STEPS
    )
    return Study(
        name="m3bsr_steps_modality",
        title="M3BSR: steps and weight of modality denoising, built-in sample",
        rows=tuple(
            Row(f"T = {steps}", dataclasses.replace(m3bsr, model=model))
            for steps, model in zip(STEPS, models, strict=True)
        ),
        columns=tuple(Column(f"{w}", ("--model.modality.weight", f"{w}"), w) for w in WEIGHTS),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="sampled99",
        also=("full",),
        part="valid",
        figure=Figure("weight of the reconstruction loss", kind="heat_map", y_label="steps"),
    )
