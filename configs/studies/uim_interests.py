"""Fig. 3 of UiM: how many interests a user has, on MovieLens-1M.

Paper: UiM (Xu et al., User Plays a Role), Fig. 3: one interest is worst by both metrics, three are best, four fall.
Data, settings: those of configs/uim_ml1m_small.py, one seed.
Command: python -m jaxrec.study configs/studies/uim_interests.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 4 runs, up to 12 min each on two quiet cores.
Result: docs/results/uim.md
"""

import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def get_study() -> Study:
    return Study(
        name="uim_interests",
        title="UiM: number of interests, MovieLens-1M",
        rows=(Row("UiM", load_config(CONFIGS / "uim_ml1m_small.py")),),
        columns=tuple(Column(f"K = {k}", ("--model.num-interests", f"{k}"), k) for k in (1, 2, 3, 4)),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        figure=Figure("interests K"),
    )
