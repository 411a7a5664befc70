"""The time figure of SEALR: items as numbers against items as names, on the same pools.

Paper: SEALR (Lee and Kim, SIGIR 2025), Figure 4: 20 % of the users for tuning, 50 candidates; 3 hours less of training
and 43 less of inference than PALR on average.
Data, settings: those of configs/sealr_{beauty,toys,sports}.py and configs/palr_beauty.py; SEALR without sentiments,
too, so that only the names differ.
Command: python -m jaxrec.study configs/studies/sealr_time.py --data beauty=DIR toys=DIR sports=DIR \
             --model.tuning.decoder DIR
Table: metrics, and below them seconds of tuning and of ranking, in all and a user, tokens a prompt, and how many times
as long as names and as PALR; the time of a step is that of the run that made it, so an empty model.out and --jobs 1 are
wanted. `python -m jaxrec.bench candidate_ranking` times one prompt after the other.
Hardware: made for an accelerator.
Wall time: not run.
Result: not run: the paper's review texts cannot be had here; docs/results/sealr.md holds what was.
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = {"Beauty": "beauty", "Toys": "toys", "Sports": "sports"}


def get_study() -> Study:
    over = {label: load_config(CONFIGS / f"sealr_{name}.py") for label, name in COLUMNS.items()}
    palr = load_config(CONFIGS / "palr_beauty.py").model
    prompts = {
        "numbers, sentiments": {"items": "digits"},
        "numbers": {"items": "digits", "sentiment": False},
        "new tokens": {"items": "new_tokens", "sentiment": False},
        "names": {"items": "names", "sentiment": False, "max_tokens": palr.prompt.max_tokens},
    }

    against = {
        "numbers, sentiments": ("PALR",),
        "numbers": ("names", "PALR"),
        "new tokens": ("names", "PALR"),
        "names": (),
    }

    def row(label: str, **changes: object) -> Row:
        runs = {}
        for column, one in over.items():
            prompt = dataclasses.replace(one.model.prompt, **changes)
            tuning = dataclasses.replace(one.model.tuning, share=0.2, row_tokens=prompt.max_tokens)
            runs[column] = dataclasses.replace(one, model=dataclasses.replace(one.model, prompt=prompt, tuning=tuning))
        return Row(label, runs, against[label])

    named = {
        column: dataclasses.replace(
            one,
            model=dataclasses.replace(
                palr, prompt=dataclasses.replace(palr.prompt, category=one.model.prompt.category)
            ),
        )
        for column, one in over.items()
    }
    return Study(
        name="sealr_time",
        title="SEALR, Figure 4",
        rows=(*(row(label, **changes) for label, changes in prompts.items()), Row("PALR", named)),
        columns=tuple(Column(label) for label in COLUMNS),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="retrieved",
        times=True,
        notes=("all rows rank the same pools",),
    )
