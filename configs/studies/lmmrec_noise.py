"""Fig. 2 of LMMRec: PolyCF and LMMRec over it when training holds interactions that never happened, on Yelp.

Paper: LMMRec (arXiv 2602.05474), Fig. 2, 5 to 30 %; the text gives no numbers.
Data, text, settings: those of configs/lmmrec_polycf_yelp.py.
Command: python -m jaxrec.study configs/studies/lmmrec_noise.py --data yelp=DIR --text yelp=DIR
Hardware: made for an accelerator.
Wall time: not run.
Result: not run: the paper's data and texts cannot be had here; docs/results/lmmrec.md holds what was.
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.data.text_config import TextConfig
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def get_study() -> Study:
    over = load_config(CONFIGS / "lmmrec_polycf_yelp.py")
    alone = dataclasses.replace(over, model=over.model.base, text=TextConfig(source="none"))
    return Study(
        name="lmmrec_noise",
        title="LMMRec, Fig. 2: training interactions that never happened, Yelp",
        rows=(Row("PolyCF", alone), Row("LMMRec over PolyCF", over, ("PolyCF",))),
        columns=tuple(
            Column(f"{share} %", ("--data.noise", str(share / 100)), float(share)) for share in range(0, 35, 5)
        ),
        seeds=(0, 1, 2, 3, 4),
        metrics=("recall@10", "ndcg@10"),
        figure=Figure("added training interactions (%)"),
    )
