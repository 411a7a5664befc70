"""Table II of LMMRec: what each of its parts adds, over WeightedGCL and over PolyCF, on Yelp.

Paper: LMMRec (arXiv 2602.05474), Table II.
Data, text, settings: those of configs/lmmrec_yelp.py and configs/lmmrec_polycf_yelp.py.
Command: python -m jaxrec.study configs/studies/lmmrec_table2.py --data yelp=DIR --text yelp=DIR
Hardware: made for an accelerator.
Wall time: not run.
Result: not run: the paper's data and texts cannot be had here; docs/results/lmmrec.md holds what was.
"""

import dataclasses
import pathlib
from typing import Any

from jaxrec.config import load_config
from jaxrec.models.lmmrec_config import LMMRecConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
PUBLISHED = {
    "WeightedGCL": {
        "w/o MCS": (0.0510, 0.0572),
        "w/o ICM": (0.0522, 0.0584),
        "w/o GCN": (0.0539, 0.0599),
        "w/o TM": (0.0535, 0.0603),
        "LMMRec": (0.0553, 0.0629),
    },
    "PolyCF": {
        "w/o MCS": (0.0543, 0.0605),
        "w/o ICM": (0.0556, 0.0614),
        "w/o GCN": (0.0571, 0.0619),
        "w/o TM": (0.0578, 0.0645),
        "LMMRec": (0.0590, 0.0671),
    },
}


def variants(model: LMMRecConfig) -> dict[str, LMMRecConfig]:
    """The model of each row of Table II."""
    replace: Any = dataclasses.replace
    return {
        "w/o MCS": replace(model, coordination=replace(model.coordination, weight=0.0)),
        "w/o ICM": replace(model, correspondence=replace(model.correspondence, weight=0.0)),
        "w/o GCN": replace(model, graph_encoder="none"),
        "w/o TM": replace(model, text_source="learned"),
        "LMMRec": model,
    }


def get_study() -> Study:
    rows = []
    for base, config in (("WeightedGCL", "lmmrec_yelp"), ("PolyCF", "lmmrec_polycf_yelp")):
        experiment = load_config(CONFIGS / f"{config}.py")
        models = variants(experiment.model)
        for name, model in models.items():
            against = tuple(f"{base}, {other}" for other in models if other != name) if name == "LMMRec" else ()
            published = {"Yelp": PUBLISHED[base][name]}
            rows.append(Row(f"{base}, {name}", dataclasses.replace(experiment, model=model), against, published))
    return Study(
        name="lmmrec_table2",
        title="LMMRec, Table II: ablations",
        rows=tuple(rows),
        columns=(Column("Yelp"),),
        seeds=(0, 1, 2, 3, 4),
        metrics=("recall@5", "ndcg@5"),
    )
