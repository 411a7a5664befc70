"""Table V of UiM: histories cut to 5, 10 and 30 events, on MovieLens-1M.

Paper: UiM (Xu et al., User Plays a Role), Table V, hit@1, ndcg@1, hit@5 and ndcg@5: of 5 events 0.1324, 0.1288, 0.1509,
0.1483; of 10 0.1496, 0.1367, 0.1641, 0.1610; of 30 0.1653, 0.1549, 0.1935, 0.1907. Its hit@1 and ndcg@1 differ, which
they cannot; another protocol, so the values do not compare.
Data, settings: those of configs/uim_ml1m_small.py, one seed; training and ranking read the same length, no simulated
user.
Command: python -m jaxrec.study configs/studies/uim_history.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 3 runs, up to 12 min each on two quiet cores.
Result: docs/results/uim.md
"""

import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def get_study() -> Study:
    return Study(
        name="uim_history",
        title="UiM: histories of 5, 10 and 30 events, MovieLens-1M",
        rows=(Row("UiM", load_config(CONFIGS / "uim_ml1m_small.py")),),
        columns=tuple(Column(f"{n} events", ("--model.max-length", f"{n}"), n) for n in (5, 10, 30)),
        seeds=(0,),
        metrics=("hit@1", "ndcg@1", "hit@5", "ndcg@5"),
        figure=Figure("events of a history"),
    )
