"""LightGCN and LMMRec over it when training holds interactions that never happened, on the built-in sample.

Paper: LMMRec (arXiv 2602.05474), Fig. 2, which is drawn over PolyCF on Yelp.
Command: python -m jaxrec.study configs/studies/lmmrec_noise_sample.py
Hardware: two CPU cores.
Wall time: a run as in the study it is taken from.
Result: docs/results/lmmrec_noise_sample.md. LMMRec's lead over LightGCN in ndcg@10 grows from 4 % to 19 % (seed 0).
"""

import dataclasses
import pathlib

from jaxrec.config.load import load_from
from jaxrec.studies import Column, Figure, Study

HERE = pathlib.Path(__file__).resolve().parent
LABELS = ("LightGCN", "LMMRec over LightGCN")


def noise_columns(*percent: int) -> tuple[Column, ...]:
    """A column for each share of added training interactions."""
    return tuple(Column(f"{share} %", ("--data.noise", str(share / 100)), float(share)) for share in percent)


def get_study() -> Study:
    sample = load_from(HERE / "lmmrec_sample.py", "get_study", Study)
    rows = [row for row in sample.rows if row.label in LABELS]
    return dataclasses.replace(
        sample,
        name="lmmrec_noise_sample",
        title="Training interactions that never happened",
        rows=tuple(dataclasses.replace(row, against=tuple(o for o in row.against if o in LABELS)) for row in rows),
        columns=noise_columns(0, 5, 10, 15, 20, 25, 30),
        metrics=("recall@10", "ndcg@10"),
        figure=Figure("added training interactions (%)"),
    )
