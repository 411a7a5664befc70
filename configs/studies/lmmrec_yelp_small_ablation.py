"""What each part of LMMRec adds, on the small cut of Yelp.

Paper: LMMRec (arXiv 2602.05474), Table II.
Data, text, settings: those of configs/studies/lmmrec_yelp_small.py, whose runs of the full model serve here too.
Command: python -m jaxrec.study configs/studies/lmmrec_yelp_small_ablation.py --data yelp_s3rec=DIR --text.encoder DIR
Hardware: two CPU cores.
Wall time: a run as in the study it is taken from.
Result: docs/results/lmmrec_yelp_small_ablation.md
"""

import dataclasses
import pathlib
from typing import Any

from jaxrec.config.load import load_from
from jaxrec.models.lmmrec_config import LMMRecConfig
from jaxrec.studies import Row, Study

HERE = pathlib.Path(__file__).resolve().parent


def without(model: LMMRecConfig) -> dict[str, LMMRecConfig]:
    """The model of each row of Table II but the last."""
    replace: Any = dataclasses.replace
    return {
        "w/o MCS": replace(model, coordination=replace(model.coordination, weight=0.0)),
        "w/o ICM": replace(model, correspondence=replace(model.correspondence, weight=0.0)),
        "w/o GCN": replace(model, graph_encoder="none"),
        "w/o TM": replace(model, text_source="learned"),
    }


def get_study() -> Study:
    small = load_from(HERE / "lmmrec_yelp_small.py", "get_study", Study)
    full = {row.label: row.experiment for row in small.rows}
    rows = []
    for base in ("WeightedGCL", "PolyCF"):
        experiment: Any = full[f"LMMRec over {base}"]
        models = without(experiment.model)
        rows += [Row(f"{base}, {name}", dataclasses.replace(experiment, model=model)) for name, model in models.items()]
        rows.append(Row(f"{base}, LMMRec", experiment, tuple(f"{base}, {name}" for name in models)))
    return dataclasses.replace(
        small,
        name="lmmrec_yelp_small_ablation",
        title="LMMRec without each of its parts, a small cut of Yelp",
        rows=tuple(rows),
        seeds=(0,),
        metrics=("recall@5", "ndcg@5"),
        notes=("another cut of Yelp than the paper's, which cannot be had; the numbers do not compare with Table II",),
    )
