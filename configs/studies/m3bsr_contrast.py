"""Which temperature and weight of interest disentanglement? A heat map, on the built-in sample.

Paper: M3BSR (Cui et al., SIGIR 2025), Fig. 4c and 4f: temperatures of 0.01 to 0.5 and weights of 0.01 to 0.15; best
at 0.3 and 0.05 there.
Data, settings: those of configs/m3bsr_sample.py, one seed; judged on validation, as a search must be.
Command: python -m jaxrec.study configs/studies/m3bsr_contrast.py
Hardware: two CPU cores.
Wall time: 25 runs, up to 4 min each on two quiet cores; 25 min in all with the smaller model of the result.
Result: docs/results/m3bsr.md
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
TEMPERATURES = (0.01, 0.05, 0.1, 0.3, 0.5)
WEIGHTS = (0.01, 0.02, 0.05, 0.1, 0.15)


def get_study() -> Study:
    m3bsr = load_config(CONFIGS / "m3bsr_sample.py")
    models = (
        dataclasses.replace(m3bsr.model, contrast=dataclasses.replace(m3bsr.model.contrast, temperature=temperature))
        for temperature in TEMPERATURES
    )
    return Study(
        name="m3bsr_contrast",
        title="M3BSR: temperature and weight of disentanglement, built-in sample",
        rows=tuple(
            Row(f"{temperature}", dataclasses.replace(m3bsr, model=model))
            for temperature, model in zip(TEMPERATURES, models, strict=True)
        ),
        columns=tuple(Column(f"{w}", ("--model.contrast.weight", f"{w}"), w) for w in WEIGHTS),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="sampled99",
        also=("full",),
        part="valid",
        figure=Figure("weight of disentanglement", kind="heat_map", y_label="temperature"),
    )
