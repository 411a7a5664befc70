"""The questions of SEALR's tables on the built-in sample: items as numbers, tokens or names, sentiments, shares, pools.

Paper: SEALR (Lee and Kim, SIGIR 2025), Tables 2 and 3 and Figure 4; other data and another model, so that the questions
are theirs and the values do not compare.
Data, settings: those of configs/sealr_sample.py and configs/palr_sample.py, one seed: 20 candidates and half of the
users for tuning where a row says nothing else; a tiny decoder begins from nothing. Targets are not put in.
Command: python -m jaxrec.study configs/studies/sealr_sample.py
Table: metrics, and below them seconds of tuning and of ranking: those of the run that made them, so an empty model.out
and --jobs 1 are wanted.
Hardware: two CPU cores.
Wall time: 10 runs, 17 min beside other programs
Result: docs/results/sealr_sample.md
"""

import dataclasses
import pathlib
from typing import Any

from jaxrec.config import Experiment, load_config
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def get_study() -> Study:
    sealr, palr = (load_config(CONFIGS / f"{name}_sample.py") for name in ("sealr", "palr"))
    names = {"items": "names", "history": palr.model.prompt.history, "name_words": palr.model.prompt.name_words}

    def changed(base: Experiment[Any], count: int = 20, share: float = 0.5, **prompt: Any) -> Experiment[Any]:
        model = dataclasses.replace(
            base.model,
            candidates=dataclasses.replace(base.model.candidates, count=count),
            tuning=dataclasses.replace(base.model.tuning, share=share),
            prompt=dataclasses.replace(base.model.prompt, **prompt),
        )
        return dataclasses.replace(base, model=model)

    def row(label: str, run: Experiment[Any], *against: str) -> Row:
        return Row(label, run, against)

    return Study(
        name="sealr_sample",
        title="SEALR's questions, the built-in sample",
        rows=(
            row("PALR", palr),
            row("names", changed(sealr, sentiment=False, **names)),
            row("numbers", changed(sealr, items="digits", sentiment=False), "names"),
            row("numbers, sentiments", changed(sealr, items="digits"), "numbers"),
            row("new tokens", changed(sealr, sentiment=False), "names", "numbers"),
            row("new tokens, sentiments, a tenth of the users", changed(sealr, share=0.1)),
            row("new tokens, sentiments, a fifth", changed(sealr, share=0.2)),
            row("new tokens, sentiments", sealr, "new tokens", "PALR"),
            row("new tokens, sentiments, 50 candidates", changed(sealr, count=50)),
            row("new tokens, sentiments, 100 candidates", changed(sealr, count=100)),
        ),
        columns=(Column("sample"),),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="retrieved",
        times=True,
        notes=("all rows of as many candidates rank the same pools",),
    )
