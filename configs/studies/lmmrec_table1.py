"""Table I of LMMRec: LMMRec over WeightedGCL and over PolyCF against these two alone, on three data sets.

Paper: LMMRec (arXiv 2602.05474), Table I, without the rows of its other plug-ins (UIST, ONCE, AutoGraph).
Data, text, settings: those of configs/lmmrec_{yelp,amazon_book,steam}.py and configs/lmmrec_polycf_*.py; a base alone
trains with the settings of LMMRec over it.
Command: python -m jaxrec.study configs/studies/lmmrec_table1.py --data yelp=DIR amazon_book=DIR steam=DIR \
             --text yelp=DIR amazon_book=DIR steam=DIR
Hardware: made for an accelerator.
Wall time: not run.
Result: not run: the paper's data and texts cannot be had here; docs/results/lmmrec.md holds what was.
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.data.text_config import TextConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = {"Yelp": "yelp", "Amazon-book": "amazon_book", "Steam": "steam"}
METRICS = ("recall@5", "recall@10", "ndcg@5", "ndcg@10")
PUBLISHED = {
    "WeightedGCL": {
        "Yelp": (0.0517, 0.0829, 0.0592, 0.0691),
        "Amazon-book": (0.0713, 0.1068, 0.0709, 0.0832),
        "Steam": (0.0610, 0.0964, 0.0667, 0.0785),
    },
    "LMMRec over WeightedGCL": {
        "Yelp": (0.0553, 0.0899, 0.0629, 0.0737),
        "Amazon-book": (0.0723, 0.1127, 0.0733, 0.0876),
        "Steam": (0.0633, 0.0994, 0.0685, 0.0808),
    },
    "PolyCF": {
        "Yelp": (0.0539, 0.0858, 0.0616, 0.0716),
        "Amazon-book": (0.0758, 0.1124, 0.0776, 0.0897),
        "Steam": (0.0588, 0.0924, 0.0641, 0.0753),
    },
    "LMMRec over PolyCF": {
        "Yelp": (0.0590, 0.0941, 0.0671, 0.0779),
        "Amazon-book": (0.0769, 0.1181, 0.0778, 0.0924),
        "Steam": (0.0638, 0.0995, 0.0684, 0.0793),
    },
}


def get_study() -> Study:
    rows = []
    for base, prefix in (("WeightedGCL", "lmmrec"), ("PolyCF", "lmmrec_polycf")):
        over = {column: load_config(CONFIGS / f"{prefix}_{data}.py") for column, data in COLUMNS.items()}
        alone = {
            column: dataclasses.replace(experiment, model=experiment.model.base, text=TextConfig(source="none"))
            for column, experiment in over.items()
        }
        plugged = f"LMMRec over {base}"
        rows.append(Row(base, alone, published=PUBLISHED[base]))
        rows.append(Row(plugged, over, against=(base,), published=PUBLISHED[plugged]))
    return Study(
        name="lmmrec_table1",
        title="LMMRec, Table I",
        rows=tuple(rows),
        columns=tuple(Column(label) for label in COLUMNS),
        seeds=(0, 1, 2, 3, 4),
        metrics=METRICS,
        notes=("the paper does not say how many seeds it ran nor which test its star is of",),
    )
