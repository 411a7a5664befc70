"""Fig. 4 of UiM: how long a history to read, on MovieLens-1M.

Paper: UiM (Xu et al., User Plays a Role), Fig. 4: both metrics rise with the length, and fall where it is very long.
Data, settings: those of configs/uim_ml1m_small.py, one seed; training and ranking read the same length.
Command: python -m jaxrec.study configs/studies/uim_lengths.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 5 runs, those of 5, 10 and 30 events shared with uim_history; 4 to 10 min each on one core.
Result: docs/results/uim.md
"""

import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Figure, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]


def get_study() -> Study:
    return Study(
        name="uim_lengths",
        title="UiM: length of histories, MovieLens-1M",
        rows=(Row("UiM", load_config(CONFIGS / "uim_ml1m_small.py")),),
        columns=tuple(Column(f"{n} events", ("--model.max-length", f"{n}"), n) for n in (5, 10, 20, 30, 50)),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        figure=Figure("events of a history"),
    )
