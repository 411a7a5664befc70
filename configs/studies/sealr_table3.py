"""Table 3 of SEALR: pools of 20, 50 and 100 candidates, a tenth of the users for tuning.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 3; its figures fall as 10/C, which is chance.
Data, settings: those of configs/sealr_{beauty,toys,sports}.py.
Command: python -m jaxrec.study configs/studies/sealr_table3.py --data beauty=DIR toys=DIR sports=DIR \
             --model.tuning.decoder DIR [--model.candidates.inject-target]
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
PUBLISHED = {
    20: ((0.4819, 0.2228), (0.4727, 0.2191), (0.5076, 0.2356)),
    50: ((0.1922, 0.0895), (0.1949, 0.0900), (0.2018, 0.0938)),
    100: ((0.0970, 0.0451), (0.1043, 0.0479), (0.1012, 0.0475)),
}


def get_study() -> Study:
    over = {label: load_config(CONFIGS / f"sealr_{name}.py") for label, name in COLUMNS.items()}

    def row(count: int) -> Row:
        runs = {}
        for column, one in over.items():
            candidates = dataclasses.replace(one.model.candidates, count=count)
            prompt = dataclasses.replace(one.model.prompt, max_tokens=1024 if count <= 50 else 2048)
            model = dataclasses.replace(one.model, candidates=candidates, prompt=prompt)
            runs[column] = dataclasses.replace(one, model=model)
        return Row(f"{count} candidates", runs, published=dict(zip(COLUMNS, PUBLISHED[count], strict=True)))

    return Study(
        name="sealr_table3",
        title="SEALR, Table 3",
        rows=tuple(row(count) for count in PUBLISHED),
        columns=tuple(Column(label) for label in COLUMNS),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="retrieved",
        notes=("the paper's figures are of pools with the target put in, which a random order equals",),
    )
