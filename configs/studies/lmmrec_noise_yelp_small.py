"""LightGCN and LMMRec over it when training holds interactions that never happened, on the small cut of Yelp.

Paper: LMMRec (arXiv 2602.05474), Fig. 2, which is drawn over PolyCF on another cut of Yelp.
Data, text, settings: those of configs/studies/lmmrec_yelp_small.py, whose runs serve here for 0 %.
Command: python -m jaxrec.study configs/studies/lmmrec_noise_yelp_small.py --data yelp_s3rec=DIR --text.encoder DIR
Hardware: two CPU cores.
Wall time: a run as in the study it is taken from.
Result: docs/results/lmmrec_noise_yelp_small.md. LMMRec leads in ndcg@10 by 5, 3 and 8 % at 0, 10 and 30 % (seed 0).
"""

import dataclasses
import pathlib

from jaxrec.config.load import load_from
from jaxrec.studies import Column, Figure, Study

HERE = pathlib.Path(__file__).resolve().parent


def get_study() -> Study:
    small = load_from(HERE / "lmmrec_yelp_small.py", "get_study", Study)
    return dataclasses.replace(
        small,
        name="lmmrec_noise_yelp_small",
        title="Training interactions that never happened, a small cut of Yelp",
        rows=tuple(row for row in small.rows if row.label in ("LightGCN", "LMMRec over LightGCN")),
        columns=tuple(Column(f"{p} %", ("--data.noise", str(p / 100)), float(p)) for p in (0, 10, 30)),
        seeds=(0,),
        metrics=("recall@10", "ndcg@10"),
        figure=Figure("added training interactions (%)"),
    )
