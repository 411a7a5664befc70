"""Table 2 of SEALR: 10, 20 and 50 % of the users for tuning, with and without sentiments, and PALR, on four data sets.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 2. Its figures are of pools with the target put in; --model.candidates.
inject-target makes such. Chance, the retriever's own order and popularity on the same pools stand in every table.
Data, settings: those of configs/sealr_{beauty,toys,sports,yelp}.py and configs/palr_beauty.py.
Command: python -m jaxrec.study configs/studies/sealr_table2.py --data beauty=DIR toys=DIR sports=DIR yelp=DIR \
             --model.tuning.decoder DIR
Hardware: made for an accelerator.
Wall time: not run.
Result: not run: the paper's review texts cannot be had here; docs/results/sealr.md holds what was.
"""

import dataclasses
import pathlib
from typing import Any

from jaxrec.config import Experiment, load_config
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = {"Beauty": "beauty", "Toys": "toys", "Sports": "sports", "Yelp": "yelp"}
PUBLISHED = {
    "SEALR FT10": ((0.1000, 0.1922, 0.0600, 0.0895), (0.0990, 0.1949, 0.0596, 0.0900),
                   (0.1046, 0.2018, 0.0627, 0.0938), (0.1003, 0.2005, 0.0594, 0.0913)),
    "SEALR FT20": ((0.1000, 0.1906, 0.0608, 0.0898), (0.1012, 0.1951, 0.0616, 0.0915),
                   (0.1016, 0.1960, 0.0613, 0.0914), (0.0991, 0.2046, 0.0594, 0.0930)),
    "SEALR FT50": ((0.0936, 0.1838, 0.0566, 0.0855), (0.1015, 0.1952, 0.0620, 0.0918),
                   (0.1047, 0.1975, 0.0633, 0.0930), (0.0933, 0.1959, 0.0553, 0.0880)),
    "PALR": ((0.0705, 0.1199, 0.0426, 0.0586), (0.0602, 0.1195, 0.0364, 0.0552),
             (0.0516, 0.0909, 0.0309, 0.0436), (0.1032, 0.1804, 0.0617, 0.0864)),
}  # fmt: skip


def get_study() -> Study:
    over: dict[str, Experiment[Any]] = {
        label: load_config(CONFIGS / f"sealr_{name}.py") for label, name in COLUMNS.items()
    }

    def row(label: str, share: float, against: tuple[str, ...] = (), **prompt: Any) -> Row:
        runs = {}
        for column, one in over.items():
            model = dataclasses.replace(
                one.model,
                prompt=dataclasses.replace(one.model.prompt, **prompt),
                tuning=dataclasses.replace(one.model.tuning, share=share),
            )
            runs[column] = dataclasses.replace(one, model=model)
        published = dict(zip(COLUMNS, PUBLISHED.get(label, ()), strict=False))
        return Row(label, runs, against, published=published)

    palr = load_config(CONFIGS / "palr_beauty.py").model
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
        name="sealr_table2",
        title="SEALR, Table 2",
        rows=(
            Row("PALR", named, published=dict(zip(COLUMNS, PUBLISHED["PALR"], strict=True))),
            row("SEALR FT10 without sentiments", 0.1, sentiment=False),
            row("SEALR FT10", 0.1, ("SEALR FT10 without sentiments", "PALR")),
            row("SEALR FT20", 0.2, ("PALR",)),
            row("SEALR FT50", 0.5, ("PALR",)),
        ),
        columns=tuple(Column(label) for label in COLUMNS),
        seeds=(0,),
        metrics=("hit@5", "hit@10", "ndcg@5", "ndcg@10"),
        protocol="retrieved",
        notes=("the paper's figures are of pools with the target put in, which a random order equals",),
    )
